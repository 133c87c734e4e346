from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microservo.domain.faults.catalogue import PlannedFault
from microservo.domain.faults.decider.snapshot import known_fault
from microservo.domain.faults.kinds.network_delay import NetworkDelay
from microservo.domain.faults.lifecycle import (
    TRANSITIONS,
    WHOLE,
    ExposedService,
    FaultStatus,
    fold,
    rejection,
)
from microservo.errors import InvalidInput
from schemas.examples import examples
from schemas.records import FaultEvent, FaultSnapshot, FaultState

PLANNED = PlannedFault(
    fault_id="f-1",
    fault=NetworkDelay(latency_us=300_000, jitter_us=0, peer=""),
    service="cart",
    instances=("cart-0", "cart-1"),
    start_at_us=100,
    duration_us=1_000,
    requested_at_us=100,
)
EXPOSED = (
    ExposedService(service="cart", relation="root", hops=0),
    ExposedService(service="front", relation="caller", hops=1),
)
PATHS: dict[FaultState, tuple[FaultState, ...]] = {
    "requested": (),
    "rejected": ("rejected",),
    "scheduled": ("scheduled",),
    "applying": ("scheduled", "applying"),
    "active": ("scheduled", "applying", "active"),
    "recovering": ("scheduled", "applying", "active", "recovering"),
    "recovered": ("scheduled", "applying", "active", "recovering", "recovered"),
    "stopped": ("scheduled", "applying", "active", "recovering", "stopped"),
    "failed": ("scheduled", "applying", "recovering", "failed"),
}


def begun() -> FaultStatus:
    return FaultStatus.begin(PLANNED, run_id="run-1", at_us=100)


def published() -> list[FaultEvent]:
    """The events of a fault on two instances, of which the second recovers later."""
    status = begun()
    events = [status.whole]

    def step(instance: str, state: FaultState, at_us: int, **changes: int) -> None:
        nonlocal status
        status = status.advance(instance, state, at_us, **changes)
        events.append(status.latest[instance])

    step(WHOLE, "scheduled", 100)
    step("cart-0", "applying", 110, apply_commanded_at_us=110)
    step("cart-1", "applying", 111, apply_commanded_at_us=111)
    step("cart-1", "active", 120, applied_at_us=119)
    step("cart-0", "active", 125, applied_at_us=124)
    step("cart-0", "recovering", 200, recovery_commanded_at_us=200)
    step("cart-0", "recovered", 210, recovered_at_us=209)
    step("cart-1", "recovering", 220, recovery_commanded_at_us=220)
    step("cart-1", "recovered", 230, recovered_at_us=229)
    return events


def in_state(state: FaultState) -> FaultStatus:
    status = begun()
    for each in PATHS[state]:
        status = status.advance("" if each in ("scheduled", "rejected") else "cart-0", each, 1)
    return status


@pytest.mark.parametrize("after", sorted(TRANSITIONS))
@pytest.mark.parametrize("before", sorted(TRANSITIONS))
def test_only_legal_steps_are_taken(before: FaultState, after: FaultState) -> None:
    status = in_state(before)
    if after in TRANSITIONS[before]:
        assert status.advance("cart-0", after, 2).state("cart-0") == after
    else:
        with pytest.raises(InvalidInput, match=f"can't go from {before} to {after}"):
            status.advance("cart-0", after, 2)


def test_versions_count_without_a_gap() -> None:
    assert [event.version for event in published()] == list(range(1, 11))


def test_times_are_kept_and_never_fall() -> None:
    for before, after in pairwise(published()):
        assert after.at_us >= before.at_us
    last = published()[-1]
    assert (last.apply_commanded_at_us, last.applied_at_us) == (111, 119)
    assert (last.recovery_commanded_at_us, last.recovered_at_us) == (220, 229)


@given(st.integers(min_value=0, max_value=10**6))
def test_a_story_is_the_same_whatever_order_its_events_are_read_in(seed: int) -> None:
    events = [*published(), *published()]
    random.Random(seed).shuffle(events)
    assert fold(events) == fold(published())


def test_a_fault_is_applied_with_the_first_instance_and_recovered_with_the_last() -> None:
    events = published()
    both_applied = fold(events[:6])["f-1"].times()
    assert both_applied["applied_at_us"] == 119
    half = fold(events[:8])["f-1"]
    assert half.times()["recovered_at_us"] is None
    assert half.times()["recovery_commanded_at_us"] is None
    assert not half.is_over
    over = fold(events)["f-1"]
    assert over.is_over
    assert over.times()["recovered_at_us"] == 229


def test_every_service_gets_a_record_of_the_newest_version() -> None:
    status = fold(published()[:5])["f-1"]
    root, caller = status.service_faults(EXPOSED)
    assert (root.role, root.hops, root.service) == ("root_cause", 0, "cart")
    assert (caller.role, caller.relation, caller.hops, caller.service) == ("exposed", "caller", 1, "front")
    assert root.version == caller.version == 5
    assert root.severity == pytest.approx(0.3)
    assert (root.applied_at_us, root.apply_commanded_at_us, root.requested_at_us) == (119, 110, 100)


def test_a_refused_request_of_a_taken_id_leaves_the_fault_as_it_is() -> None:
    before = fold(published()[:5])["f-1"]
    event, after = rejection(before.whole, before)
    assert event.version == 6
    assert after.state("cart-1") == "active"
    assert after.whole.state == "scheduled"
    assert after.version == 6


def test_the_id_of_a_refused_request_is_free() -> None:
    refused = begun().advance(WHOLE, "rejected", 1)
    assert not refused.is_accepted
    again = FaultStatus.begin(PLANNED, run_id="run-1", at_us=2, version=refused.version + 1)
    assert fold([refused.whole, again.whole])["f-1"].state(WHOLE) == "requested"


def test_a_state_from_before_relations_is_of_a_target_and_its_callers() -> None:
    old = examples()["fault_snapshot", 1]["active"]
    assert isinstance(old, FaultSnapshot)
    exposed = [(each.service, each.relation, each.hops) for each in known_fault(old).exposed]
    assert exposed == [("cartservice", "root", 0), ("frontend", "caller", 1)]


def test_an_event_from_before_severities_has_that_of_its_kind() -> None:
    old = examples()["fault_event", 1]["active"]
    assert isinstance(old, FaultEvent)
    assert old.severity is None
    [root] = fold([old])["delay-1"].service_faults(EXPOSED[:1])
    assert root.severity == pytest.approx(0.3)


def test_a_failed_application_ends_with_a_recovery() -> None:
    status = in_state("recovering").advance("cart-0", "failed", 9, recovered_at_us=9)
    assert status.is_over
    assert status.times()["recovered_at_us"] == 9
