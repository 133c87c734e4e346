"""Who called whom."""

from __future__ import annotations

from otlp_requests import T0_US, attribute, resource, span, traces

from microservo.adapters.otlp.checks import Instants
from microservo.adapters.otlp.spans import decode_spans
from microservo.domain.bounded_names import OTHER, BoundedNames
from microservo.domain.rows import SpanRows
from schemas.records import ServiceGraph
from services.telemetry_collector.call_counter import CallCounter

CLIENT, PRODUCER, CONSUMER = 3, 4, 5


def rows(service: str, *peers: str, failed: bool = False) -> SpanRows:
    spans = [span(number=1, kind=CLIENT, peer=peer, failed=failed) for peer in peers]
    (found,) = decode_spans(
        traces([*spans, span(number=2, peer="cart")], resource(service)), Instants(now_us=T0_US)
    ).rows
    assert isinstance(found, SpanRows)
    return found


def test_calls_are_counted_by_edge_and_sorted() -> None:
    counter = CallCounter(BoundedNames(10), 100)
    counter.add(rows("frontend", "cart", "cart", "ad"))
    counter.add(rows("frontend", "cart", failed=True))
    counter.add(rows("checkout", "cart"))
    graph = counter.drain("run", 200)
    assert graph is not None
    assert (graph.start_us, graph.end_us, graph.run_id) == (100, 200, "run")
    edges = list(zip(graph.callers, graph.callees, graph.calls, graph.errors, strict=True))
    assert edges == [("checkout", "cart", 1, 0), ("frontend", "ad", 1, 0), ("frontend", "cart", 3, 1)]


def test_spans_that_are_no_calls_make_no_edge_and_no_graph() -> None:
    counter = CallCounter(BoundedNames(10), 0)
    counter.add(rows("frontend"))
    assert counter.drain("run", 1) is None


def test_an_interval_begins_where_the_one_before_ended() -> None:
    counter = CallCounter(BoundedNames(10), 0)
    counter.add(rows("frontend", "cart"))
    counter.drain("run", 5)
    counter.add(rows("frontend", "ad"))
    graph = counter.drain("run", 9)
    assert graph is not None
    assert (graph.start_us, graph.end_us, graph.callees) == (5, 9, ("ad",))


def test_peers_beyond_the_bound_share_an_edge() -> None:
    counter = CallCounter(BoundedNames(1), 0)
    counter.add(rows("frontend", "cart", "ad", "email"))
    graph = counter.drain("run", 1)
    assert graph is not None
    assert list(zip(graph.callees, graph.calls, strict=True)) == [(OTHER, 2), ("cart", 1)]


def spans_of(service: str, kind: int, **attributes: str) -> SpanRows:
    one = span(number=3, kind=kind, name=f"{service} {kind}")
    one.attributes.extend([attribute(key.replace("_", "."), value) for key, value in attributes.items()])
    (found,) = decode_spans(traces([one], resource(service)), Instants(now_us=T0_US)).rows
    assert isinstance(found, SpanRows)
    return found


def edges_of(graph: ServiceGraph | None) -> list[tuple[str, str, str, int]]:
    assert graph is not None
    return list(zip(graph.callers, graph.callees, graph.callee_kinds, graph.calls, strict=True))


def test_a_callee_is_marked_as_what_it_is() -> None:
    counter = CallCounter(BoundedNames(10), 0)
    counter.add(spans_of("cart", CLIENT, db_system="postgresql", db_name="shop"))
    counter.add(spans_of("web", CLIENT, peer_service="cart", http_route="/"))
    counter.add(spans_of("web", CLIENT, peer_service="elsewhere"))
    counter.add(spans_of("web", PRODUCER, messaging_system="kafka", messaging_destination="orders"))
    assert edges_of(counter.drain("run", 1)) == [
        ("cart", "postgresql/shop", "database", 1),
        ("web", "cart", "service", 1),
        ("web", "elsewhere", "unseen", 1),
        ("web", "kafka/orders", "queue", 1),
    ]


def test_who_takes_from_a_queue_is_called_by_who_puts_there() -> None:
    """Nothing joins their spans: the producer was seen in an interval before."""
    counter = CallCounter(BoundedNames(10), 0)
    counter.add(spans_of("web", PRODUCER, messaging_system="kafka", messaging_destination="orders"))
    counter.drain("run", 1)
    counter.add(spans_of("mail", CONSUMER, messaging_system="kafka", messaging_destination="orders"))
    assert edges_of(counter.drain("run", 2)) == [("web", "mail", "service", 1)]


def test_what_spans_join_is_not_counted_by_the_queue_once_more() -> None:
    counter = CallCounter(BoundedNames(10), 0)
    for service in ("web", "app"):
        counter.add(spans_of(service, PRODUCER, messaging_system="kafka", messaging_destination="orders"))
    counter.drain("run", 1)
    counter.add(spans_of("mail", CONSUMER, messaging_system="kafka", messaging_destination="orders"))
    counter.add_links({("web", "mail"): 7})
    assert edges_of(counter.drain("run", 2)) == [("web", "mail", "service", 7)]
