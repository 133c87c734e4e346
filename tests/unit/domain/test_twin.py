from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
import pytest

from microservo.domain.telemetry import CLIENT_SPAN, SERVER_SPAN
from microservo.domain.twin import InForce, TwinEffect, compare
from microservo.errors import InvalidInput
from schemas.records import MetricBatch, SpanBatch

BEGIN_US = 1_700_000_000_000_000
S = 1_000_000
SECONDS = 200
FAULT = InForce(
    fault_id="f-1",
    kind="network-delay",
    root_service="cart",
    services=("cart", "front"),
    levels=frozenset({"process.memory.usage"}),
    begun_us=BEGIN_US + 100 * S,
    applied_us=BEGIN_US + 100 * S,
    recovered_us=BEGIN_US + 110 * S,
)


@dataclass(frozen=True)
class Request:
    """A request of the load: the front calls the cart."""

    number: int
    start_us: int
    duration_us: int
    failed: bool = False


def requests(noise: int, *, later_us: int = 0) -> list[Request]:
    """Ten a second, each a little slower or faster in every run."""
    rng = random.Random(noise)
    return [
        Request(number, BEGIN_US + later_us + number * 100_000, round(rng.lognormvariate(9, 0.2)))
        for number in range(SECONDS * 10)
    ]


def spans(
    those: Iterable[Request],
    *,
    run: int,
    calls: Iterable[tuple[str, int, str]] = (("front", CLIENT_SPAN, "cart"), ("cart", SERVER_SPAN, "")),
    first_trace: int = 0,
) -> list[SpanBatch]:
    listed = list(those)
    return [
        SpanBatch(
            run_id=f"run-{run}",
            service=service,
            instances=(f"{service}-0",),
            endpoints=("Get",),
            peers=(peer,),
            start_us=np.array([each.start_us for each in listed], np.int64).tobytes(),
            duration_us=np.array([each.duration_us for each in listed], np.int64).tobytes(),
            instance=bytes(2 * len(listed)),
            endpoint=bytes(2 * len(listed)),
            peer=bytes(2 * len(listed)),
            kind=bytes([kind]) * len(listed),
            error=bytes(each.failed for each in listed),
            trace_id=b"".join((first_trace + each.number).to_bytes(16) for each in listed),
            span_id=b"".join(
                ((first_trace + each.number) * 8 + run * 4 + place).to_bytes(8) for each in listed
            ),
            parent_id=bytes(8 * len(listed)),
        )
        for place, (service, kind, peer) in enumerate(calls)
    ]


def compared(change: Callable[[Request], Request | None], fault: InForce = FAULT) -> dict[str, TwinEffect]:
    """What comes of a run whose requests while the fault is in force are changed, against a later twin."""
    changed = [
        change(each) if fault.applied_us <= each.start_us < fault.recovered_us else each
        for each in requests(1)
    ]
    run = spans([each for each in changed if each], run=0)
    twin = spans(requests(2, later_us=3600 * S), run=1)
    return {effect.service: effect for effect in compare(run, twin, [fault])}


def test_the_first_request_that_was_slower_than_its_counterpart_is_the_first_deviating_record() -> None:
    found = compared(lambda each: replace(each, duration_us=each.duration_us + 300_000))
    first = next(each for each in requests(1) if each.start_us >= FAULT.applied_us)
    for service in FAULT.services:
        # The one before ended after the fault began, and was as its counterpart.
        assert found[service].first_us == first.start_us + first.duration_us + 300_000
        assert found[service].deviating == pytest.approx(100, abs=2)
    assert found["front"].what.startswith("Get of cart: ")
    assert found["front"].what.endswith(" ms slower")


def test_a_request_that_failed_deviates_when_it_ended() -> None:
    found = compared(lambda each: replace(each, failed=each.number % 3 == 0))
    failed = next(each for each in requests(1) if each.start_us >= FAULT.applied_us and each.number % 3 == 0)
    assert found["cart"].first_us == failed.start_us + failed.duration_us
    assert found["cart"].what == "Get: failed"


def test_a_request_that_never_came_deviates_when_it_would_have_ended() -> None:
    found = compared(lambda _: None)
    first_us = found["cart"].first_us
    assert first_us is not None
    assert 0 <= first_us - FAULT.applied_us < 100_000
    assert found["cart"].what == "Get: missing"
    assert found["cart"].deviating == pytest.approx(100, abs=2)


def test_a_request_that_never_came_is_first_also_where_others_came_later() -> None:
    until_us = FAULT.applied_us + 5 * S
    found = compared(
        lambda each: (
            None if each.start_us < until_us else replace(each, duration_us=each.duration_us + 300_000)
        )
    )
    first_us = found["cart"].first_us
    assert first_us is not None
    assert first_us < FAULT.applied_us + 100_000
    assert found["cart"].what == "Get: missing"


def test_many_requests_that_are_a_little_slower_deviate_from_the_first_of_them_on() -> None:
    pairs = zip(requests(1), requests(2), strict=True)
    slower_us = sorted(ours.duration_us - theirs.duration_us for ours, theirs in pairs)
    # So much by itself is what chance does now and then.
    often_us = slower_us[round(0.97 * len(slower_us))]
    found = compared(lambda each: replace(each, duration_us=each.duration_us + often_us))
    first_us = found["cart"].first_us
    assert first_us is not None
    assert first_us < FAULT.applied_us + S


def memory(noise: int, *, later_us: int = 0, grown: range = range(0)) -> list[MetricBatch]:
    """A point of the cart's memory each second, at another moment of it in every run."""
    rng = random.Random(noise)
    times = [BEGIN_US + later_us + second * S + rng.randrange(S // 2) for second in range(SECONDS)]
    values = [100e6 + rng.gauss(0, 1e6) + (second in grown) * 128e6 for second in range(SECONDS)]
    return [
        MetricBatch(
            run_id="run",
            service="cart",
            instances=("cart-0",),
            names=("http.server.request.count", "process.memory.usage"),
            time_us=np.array(times, np.int64).tobytes(),
            instance=bytes(2 * SECONDS),
            name=np.ones(SECONDS, np.uint16).tobytes(),
            value=np.array(values).tobytes(),
        )
    ]


def test_a_level_that_leaves_that_of_the_twin_deviates_at_its_first_sample() -> None:
    run: list[SpanBatch | MetricBatch] = [*spans(requests(1), run=0), *memory(1, grown=range(101, 110))]
    later_us = 3600 * S
    twin: list[SpanBatch | MetricBatch] = [
        *spans(requests(2, later_us=later_us), run=1),
        *memory(2, later_us=later_us),
    ]
    found = {effect.service: effect for effect in compare(run, twin, [FAULT])}
    first_us = found["cart"].first_us
    assert first_us is not None
    assert 0 <= first_us - (BEGIN_US + 101 * S) < S // 2
    assert found["cart"].what.startswith("process.memory.usage: ")
    assert found["front"].first_us is None


def test_what_a_fault_did_before_it_was_wholly_applied_counts() -> None:
    run: list[SpanBatch | MetricBatch] = [*spans(requests(1), run=0), *memory(1, grown=range(101, 110))]
    later_us = 3600 * S
    twin: list[SpanBatch | MetricBatch] = [
        *spans(requests(2, later_us=later_us), run=1),
        *memory(2, later_us=later_us),
    ]
    late = replace(FAULT, begun_us=BEGIN_US + 101 * S, applied_us=BEGIN_US + 102 * S)
    first_us = next(each.first_us for each in compare(run, twin, [late]) if each.service == "cart")
    assert first_us is not None
    assert first_us < late.applied_us


def slower_by(ms: int, from_us: int, noise: int, *, later_us: int = 0) -> list[Request]:
    """All requests, those of the fault's time from an instant on slower."""
    return [
        replace(each, duration_us=each.duration_us + ms * 1000)
        if from_us <= each.start_us < FAULT.recovered_us
        else each
        for each in requests(noise, later_us=later_us)
    ]


def test_whoever_waits_for_a_slower_request_deviates_with_it() -> None:
    calls = (("users", CLIENT_SPAN, "front"), ("front", CLIENT_SPAN, "cart"), ("cart", SERVER_SPAN, ""))
    run = spans(slower_by(300, FAULT.applied_us, 1), run=0, calls=calls)
    twin = spans(requests(2, later_us=3600 * S), run=1, calls=calls)
    found = compare(run, twin, [replace(FAULT, services=("cart", "front", "users"))])
    assert len({effect.first_us for effect in found}) == 1
    assert found[2].what.startswith("Get of front: ")


def test_what_is_slower_without_having_met_the_faults_service_is_chance() -> None:
    fault = replace(FAULT, services=("cart", "front", "mail"))
    mail = (("front", CLIENT_SPAN, "mail"), ("mail", SERVER_SPAN, ""))
    # The mail is slower as soon as the fault is in force, the cart three seconds later.
    run = spans(slower_by(300, FAULT.applied_us + 3 * S, 1), run=0)
    run += spans(slower_by(300, FAULT.applied_us, 3), run=0, calls=mail, first_trace=10**6)
    twin = spans(requests(2, later_us=3600 * S), run=1)
    twin += spans(requests(4, later_us=3600 * S), run=1, calls=mail, first_trace=10**6)
    cart, front, other = compare(run, twin, [fault])
    assert cart.first_us is not None
    assert cart.first_us == front.first_us
    assert cart.first_us > FAULT.applied_us + 3 * S
    assert front.what.startswith("Get of cart: ")
    assert other.first_us is None
    assert other.deviating > 90, "they are counted all the same"


def test_a_slower_request_by_chance_just_before_is_not_taken_for_the_first() -> None:
    pairs = zip(requests(1), requests(2), strict=True)
    slower_us = sorted(ours.duration_us - theirs.duration_us for ours, theirs in pairs)
    seldom_us = slower_us[round(0.985 * len(slower_us))]
    theirs = {each.number: each for each in requests(2)}
    number = round((FAULT.applied_us - BEGIN_US) / 100_000)

    def change(each: Request) -> Request:
        if each.number == number:
            return replace(each, duration_us=theirs[number].duration_us + seldom_us)
        # The two behind it are as they were.
        return each if each.number < number + 3 else replace(each, duration_us=each.duration_us + 300_000)

    first_us = compared(change)["cart"].first_us
    assert first_us is not None
    assert first_us >= FAULT.applied_us + 300_000


def test_a_level_that_such_a_fault_can_not_move_is_chance() -> None:
    run: list[SpanBatch | MetricBatch] = [*spans(requests(1), run=0), *memory(1, grown=range(101, 110))]
    later_us = 3600 * S
    twin: list[SpanBatch | MetricBatch] = [
        *spans(requests(2, later_us=later_us), run=1),
        *memory(2, later_us=later_us),
    ]
    found = compare(run, twin, [replace(FAULT, levels=frozenset({"process.cpu.utilization"}))])
    assert {effect.first_us for effect in found} == {None}


def test_chance_alone_deviates_nowhere() -> None:
    for second in range(10, 190, 3):
        begun_us = BEGIN_US + second * S
        fault = replace(FAULT, begun_us=begun_us, applied_us=begun_us, recovered_us=begun_us + 2 * S)
        assert {effect.first_us for effect in compared(lambda each: each, fault).values()} == {None}, second


def test_a_record_that_was_sent_twice_counts_once() -> None:
    run, twin = requests(1), requests(2)
    once = compare(spans(run, run=0), spans(twin, run=1), [FAULT])
    assert compare([*spans(run, run=0), *spans(run, run=0)], spans(twin, run=1), [FAULT]) == once


def test_a_run_without_spans_has_no_twin() -> None:
    with pytest.raises(InvalidInput, match="without spans"):
        compare([], spans(requests(1), run=1), [FAULT])
