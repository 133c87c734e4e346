"""Calls without `peer.service` find the service that answers them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from otlp_requests import T0_US, attribute, resource, span, traces

from microservo.adapters.otlp.checks import Instants
from microservo.adapters.otlp.decoding import decode
from microservo.adapters.otlp.line_ids import LineIds
from microservo.domain.rows import SpanRows
from microservo.sources.source import Parcel
from services.telemetry_collector.callees import Callees

INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = 1, 2, 3, 4, 5
WAIT_S = 0.4


def call(trace: int, address: str = "10.0.0.7", kind: int = CLIENT, name: str = "GET") -> Span:
    """The upper side of a call; its span id is its trace's number."""
    found = span(number=trace, kind=kind, name=name)
    if address:
        found.attributes.extend(
            [attribute("server.address", address), KeyValue(key="server.port", value=AnyValue(int_value=80))]
        )
    return found


def answer(trace: int, kind: int = SERVER) -> Span:
    """The lower side of it."""
    found = span(number=trace, kind=kind)
    found.span_id = (trace + 1_000_000).to_bytes(8, "big")
    found.parent_span_id = trace.to_bytes(8, "big")
    return found


def parcel(service: str, *spans: Span) -> Parcel:
    (rows,) = decode(traces(spans, resource(service)), Instants(now_us=T0_US), LineIds(b"")).rows
    return Parcel(signal="traces", rows=[rows])


def peers(parcels: Sequence[Parcel]) -> list[str]:
    found = []
    for each in parcels:
        for rows in each.rows:
            assert isinstance(rows, SpanRows)
            found += [rows.peer.names[code] for code in rows.peer.codes.tolist()]
    return found


def test_a_call_and_its_answer_in_one_round_are_joined() -> None:
    ready, waiting = Callees(WAIT_S).resolve([parcel("web", call(1)), parcel("cart", answer(1))], 0.0)
    assert (peers(ready), waiting) == (["cart", ""], [])


def test_a_call_that_comes_after_its_answer_is_joined() -> None:
    callees = Callees(WAIT_S)
    callees.resolve([parcel("cart", answer(1))], 0.0)
    assert peers(callees.resolve([parcel("web", call(1))], 9.0)[0]) == ["cart"]


def test_the_first_call_to_an_address_waits_for_its_answer() -> None:
    callees = Callees(WAIT_S)
    ready, waiting = callees.resolve([parcel("web", call(1))], 0.0)
    assert (ready, len(waiting)) == ([], 1)
    ready, waiting = callees.resolve([*waiting, parcel("cart", answer(1))], 0.2)
    assert (peers(ready), waiting) == (["cart", ""], [])


def test_a_call_that_nobody_answers_goes_on_under_its_address_and_later_ones_do_not_wait() -> None:
    callees = Callees(WAIT_S)
    _, waiting = callees.resolve([parcel("web", call(1, "api.example"))], 0.0)
    ready, waiting = callees.resolve(waiting, WAIT_S)
    assert (peers(ready), waiting) == (["api.example:80"], [])
    assert peers(callees.resolve([parcel("web", call(2, "api.example"))], 1.0)[0]) == ["api.example:80"]


def test_an_answer_that_comes_late_teaches_whom_the_address_belongs_to() -> None:
    callees = Callees(WAIT_S)
    callees.resolve([parcel("web", call(1))], 0.0)
    callees.resolve([parcel("cart", answer(1))], 4.0)
    ready, waiting = callees.resolve([parcel("web", call(2))], 5.0)
    assert (peers(ready), waiting) == (["cart"], [])


def test_an_address_where_several_answer_tells_nothing_but_the_answers_do() -> None:
    callees = Callees(0.0)
    callees.resolve([parcel("web", call(1), call(2)), parcel("a", answer(1)), parcel("b", answer(2))], 0.0)
    ready, _ = callees.resolve([parcel("web", call(3), call(4)), parcel("b", answer(4))], 1.0)
    assert peers(ready) == ["10.0.0.7:80", "b", ""]


def test_the_same_address_may_be_another_service_for_another_caller() -> None:
    callees = Callees(0.0)
    callees.resolve([parcel("web", call(1)), parcel("a", answer(1))], 0.0)
    callees.resolve([parcel("app", call(2)), parcel("b", answer(2))], 0.0)
    assert peers(callees.resolve([parcel("web", call(3)), parcel("app", call(4))], 1.0)[0]) == ["a", "b"]


def test_a_call_without_an_address_is_known_by_its_name() -> None:
    callees = Callees(0.0)
    callees.resolve([parcel("web", call(1, "", name="Cart/Get")), parcel("cart", answer(1))], 0.0)
    ready, _ = callees.resolve([parcel("web", call(2, "", name="Cart/Get"), call(3, "", name="Ad"))], 1.0)
    assert peers(ready) == ["cart", ""]


def test_who_consumes_a_message_is_whom_its_producer_called() -> None:
    callees = Callees(WAIT_S)
    parcels = [parcel("web", call(1, kind=PRODUCER)), parcel("mail", answer(1, CONSUMER))]
    assert peers(callees.resolve(parcels, 0.0)[0]) == ["mail", ""]


def test_where_only_servers_are_instrumented_their_spans_are_joined_whichever_comes_first() -> None:
    callees = Callees(0.0)
    upper = span(number=1, kind=SERVER)
    callees.resolve([parcel("web", upper), parcel("cart", answer(1))], 0.0)
    callees.resolve([parcel("cart", answer(2))], 1.0)
    callees.resolve([parcel("web", span(number=2, kind=INTERNAL))], 2.0)
    # A span below one of its own service calls nobody, and what a call joins counts as a call.
    callees.resolve([parcel("web", span(number=3, kind=SERVER)), parcel("web", answer(3))], 3.0)
    callees.resolve([parcel("web", call(4)), parcel("cart", answer(4))], 4.0)
    assert callees.drain_links() == {("web", "cart"): 2}
    assert callees.drain_links() == {}


def test_a_consumer_of_a_batch_is_joined_by_its_links_with_all_who_sent() -> None:
    sent = [span(number=number, kind=PRODUCER) for number in (1, 2)]
    for each in sent:
        each.attributes.extend(
            [attribute("messaging.system", "kafka"), attribute("messaging.destination.name", "orders")]
        )
    taken = span(number=9, kind=CONSUMER)
    taken.links.extend([Span.Link(trace_id=each.trace_id, span_id=each.span_id) for each in sent])
    callees = Callees(WAIT_S)
    ready, waiting = callees.resolve([parcel("web", sent[0]), parcel("app", sent[1])], 0.0)
    assert (peers(ready), waiting) == (["kafka/orders", "kafka/orders"], [])
    callees.resolve([parcel("mail", taken)], 9.0)
    assert callees.drain_links() == {("web", "mail"): 1, ("app", "mail"): 1}


def test_what_a_span_says_itself_counts_and_does_not_wait() -> None:
    told = [span(number=1, kind=CLIENT, peer="cart"), span(number=2), span(number=3, kind=1)]
    ready, waiting = Callees(WAIT_S).resolve([parcel("web", *told), parcel("x", answer(1))], 0.0)
    assert (peers(ready), waiting) == (["cart", "", "", ""], [])


def test_other_parcels_go_on_at_once() -> None:
    others = [Parcel(signal="logs"), Parcel(signal="traces")]
    assert Callees(WAIT_S).resolve(others, 0.0) == (others, [])
    ready, waiting = Callees(WAIT_S).resolve([*others, parcel("web", call(1))], 0.0)
    assert (ready, len(waiting)) == (others, 1)


def test_names_without_end_are_forgotten_and_learned_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.telemetry_collector.callees._NAMES", 100)
    callees = Callees(0.0)
    spans = [call(number + 1, f"host-{number}") for number in range(300)]
    callees.resolve([parcel("web", *spans)], 0.0)
    callees.resolve([parcel("web", call(30_001)), parcel("cart", answer(30_001))], 1.0)
    assert peers(callees.resolve([parcel("web", call(30_002))], 2.0)[0]) == ["cart"]


def test_addresses_without_end_let_nothing_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.telemetry_collector.callees._NAMES", 100)
    callees = Callees(WAIT_S)
    ready, waiting = callees.resolve(
        [parcel("web", *[call(number + 1, f"host-{number}") for number in range(300)])], 0.0
    )
    assert (ready, len(waiting)) == ([], 1)
    assert callees.resolve(waiting, 0.1)[1] == []
