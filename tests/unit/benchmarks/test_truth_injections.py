from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import numpy as np

from benchmarks.truth.exposure import Exposure
from benchmarks.truth.injections import CONTROL, PER_SESSION, called_services, plan_of, sessions_of
from benchmarks.truth.overlaps import PER_ROUND, ROUNDS_PER_SESSION, rounds_of, sessions_of_rounds
from microservo.domain.faults.catalogue import KINDS
from microservo.domain.faults.places import goes_anywhere
from microservo.domain.telemetry import CLIENT_SPAN, SERVER_SPAN
from microservo.platforms.local.mechanisms import kinds_of_local_targets
from schemas.records import SpanBatch

TOPOLOGY = "online-boutique"


def calls(service: str, peer: str, kind: int, starts_us: list[int]) -> SpanBatch:
    count = len(starts_us)
    return SpanBatch(
        run_id="run-1",
        service=service,
        instances=(f"{service}-0",),
        endpoints=("Get",),
        peers=("", peer),
        start_us=np.array(starts_us, np.int64).tobytes(),
        duration_us=np.full(count, 1000, np.int64).tobytes(),
        instance=bytes(2 * count),
        endpoint=bytes(2 * count),
        peer=np.ones(count, np.uint16).tobytes(),
        kind=bytes([kind]) * count,
        error=bytes(count),
        trace_id=bytes(16 * count),
        span_id=bytes(8 * count),
        parent_id=bytes(8 * count),
    )


def test_every_kind_is_injected_as_often_and_half_of_the_faults_last_two_seconds() -> None:
    plan = plan_of(20, 7, TOPOLOGY)
    assert plan == plan_of(20, 7, TOPOLOGY)
    assert plan != plan_of(20, 8, TOPOLOGY)
    kinds = {
        name
        for name in kinds_of_local_targets()
        if name != CONTROL and not KINDS[name].on_telemetry and goes_anywhere(KINDS[name])
    }
    assert Counter(fault.kind for fault in plan) == dict.fromkeys(kinds, 20)
    assert Counter(fault.kind for fault in plan if fault.duration_s == 2) == dict.fromkeys(kinds, 10)
    assert {fault.service for fault in plan} == set(called_services(TOPOLOGY))
    assert sum(map(len, sessions_of(plan))) == len(plan)
    *full, last = map(len, sessions_of(plan))
    assert set(full) == {PER_SESSION}
    assert 0 < last <= PER_SESSION


def test_no_service_is_hit_twice_in_a_row() -> None:
    plan = plan_of(20, 7, TOPOLOGY)
    assert all(one.service != other.service for one, other in itertools.pairwise(plan))


def test_a_weak_fault_never_shares_its_service_with_another_one_of_its_round() -> None:
    rounds = rounds_of(100, 7, TOPOLOGY)
    assert rounds == rounds_of(100, 7, TOPOLOGY)
    assert sum(len(each.under) for each in rounds) >= 100
    for each in rounds:
        services = [each.over.service, *(fault.service for fault, _ in each.under)]
        assert len(set(services)) == 1 + PER_ROUND
    assert len({each for some in rounds for each in some.under_ids("run-1")}) == PER_ROUND * len(rounds)
    assert max(map(len, sessions_of_rounds(rounds))) == ROUNDS_PER_SESSION


def test_calls_that_came_are_those_that_others_sent_while_the_fault_was_in_force() -> None:
    sent = calls("front", "cart", CLIENT_SPAN, [10, 20, 30])
    exposure = Exposure.of([sent, calls("cart", "front", SERVER_SPAN, [21]), replace(sent, service="other")])
    assert exposure.calls("cart", 20, 30) == 2
    assert exposure.calls("front", 0, 100) == 0
    assert exposure.calls("cart", 20, None) == 0
