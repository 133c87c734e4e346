"""Who called whom."""

from __future__ import annotations

from otlp_requests import T0_US, resource, span, traces

from microservo.adapters.otlp.checks import Instants
from microservo.adapters.otlp.spans import decode_spans
from microservo.domain.bounded_names import OTHER, BoundedNames
from microservo.domain.rows import SpanRows
from services.telemetry_collector.call_counter import CallCounter

CLIENT = 3


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
