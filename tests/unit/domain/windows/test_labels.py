"""Labels: what a fault means for a window.

::

    seconds    0    5    10   15   20
    windows    [----)[----)[----)[----)
    applied         7 |=======| 13
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microservo.domain.labels import FOREVER, FaultVersions, is_anomalous, label
from microservo.domain.watermarks import NOTHING_PASSED, Passed
from schemas.records import Phase, ServiceFault

S = 1_000_000
ON_TIME = NOTHING_PASSED
OPEN = ServiceFault(
    run_id="run",
    fault_id="delay",
    version=1,
    kind="network-delay",
    service="cart",
    root_service="cart",
    role="root_cause",
    hops=0,
    severity=0.5,
    requested_at_us=6 * S,
    apply_commanded_at_us=int(6.5 * S),
    applied_at_us=7 * S,
)
OVER = replace(OPEN, version=2, recovery_commanded_at_us=12 * S, recovered_at_us=13 * S)
NORMAL = replace(OVER, version=3, normal_at_us=18 * S)


@pytest.mark.parametrize(
    ("start_s", "phase", "overlap"),
    [
        (5, "active", 0.6),
        (10, "active", 0.6),
        (15, "after_effect", 0.0),
    ],
)
def test_a_label_has_the_longest_phase_and_the_share_in_force(
    start_s: int, phase: Phase, overlap: float
) -> None:
    found = label(NORMAL, start_s * S, (start_s + 5) * S)
    assert found is not None
    assert (found.phase, found.overlap) == (phase, overlap)


@pytest.mark.parametrize(("start_s", "end_s"), [(0, 5), (20, 25), (18, 20), (6, 6.5)])
def test_a_window_that_the_fault_does_not_touch_has_no_label(start_s: float, end_s: float) -> None:
    assert label(NORMAL, int(start_s * S), int(end_s * S)) is None


def test_applying_and_recovering_are_phases_of_their_own() -> None:
    applying = label(NORMAL, int(6.5 * S), 7 * S)
    recovering = label(NORMAL, 12 * S, 13 * S)
    assert applying is not None
    assert (applying.phase, applying.overlap) == ("applying", 0.0)
    assert recovering is not None
    assert (recovering.phase, recovering.overlap) == ("recovering", 1.0)


def test_a_fault_that_failed_to_apply_is_only_ever_applying() -> None:
    failed = replace(OPEN, applied_at_us=None, recovered_at_us=9 * S)
    found = label(failed, 5 * S, 10 * S)
    assert found is not None
    assert (found.phase, found.overlap) == ("applying", 0.0)
    assert label(failed, 10 * S, 15 * S) is None


@given(start=st.integers(0, 30 * S), size=st.integers(1, 10 * S))
def test_overlaps_of_adjacent_windows_add_up(start: int, size: int) -> None:
    def share(begin: int, end: int) -> float:
        found = label(NORMAL, begin, end)
        return found.overlap * (end - begin) if found else 0.0

    middle = start + size
    assert share(start, middle) + share(middle, middle + size) == pytest.approx(
        share(start, middle + size), abs=1
    )


def test_the_highest_version_stamped_before_the_cut_holds() -> None:
    versions = FaultVersions()
    late = Passed(first_us=20 * S, final_us=20 * S)
    for fault, passed in (
        (NORMAL, late._replace(final_us=20 * S - 1)),
        (OPEN, Passed(7 * S, 0)),
        (OVER, late),
    ):
        versions.add(fault, passed)
    assert [found.phase for found in versions.labels("run", "cart", 15 * S, 20 * S, revision=0)] == ["active"]
    assert [found.phase for found in versions.labels("run", "cart", 15 * S, 20 * S, revision=1)] == [
        "after_effect"
    ]


def test_of_a_version_that_is_told_twice_the_earlier_promise_counts() -> None:
    versions = FaultVersions()
    for first_us in (30 * S, 7 * S, 30 * S):
        versions.add(OPEN, Passed(first_us, 0))
    assert len(versions.labels("run", "cart", 15 * S, 20 * S, revision=0)) == 1


def test_labels_are_of_the_run_and_the_service_and_sorted_by_fault() -> None:
    versions = FaultVersions()
    for fault_id in ("b", "a"):
        versions.add(replace(OPEN, fault_id=fault_id), ON_TIME)
    versions.add(replace(OPEN, fault_id="c", run_id="other"), ON_TIME)
    versions.add(replace(OPEN, fault_id="d", service="frontend"), ON_TIME)
    assert [found.fault_id for found in versions.labels("run", "cart", 10 * S, 15 * S, revision=0)] == [
        "a",
        "b",
    ]


def test_a_fault_ends_when_its_newest_version_says_so() -> None:
    versions = FaultVersions()
    versions.add(OPEN, ON_TIME)
    assert versions.ends_us(OPEN) == FOREVER
    versions.add(NORMAL, ON_TIME)
    versions.add(OVER, ON_TIME)
    assert versions.ends_us(OPEN) == 18 * S
    versions.forget(18 * S)
    assert versions.labels("run", "cart", 7 * S, 12 * S, revision=1)
    versions.forget(18 * S + 1)
    assert versions.labels("run", "cart", 7 * S, 12 * S, revision=1) == ()


def test_a_window_is_anomalous_while_a_fault_is_in_force_unless_it_had_no_effect() -> None:
    active = label(OVER, 5 * S, 10 * S)
    after = label(NORMAL, 15 * S, 20 * S)
    assert active is not None
    assert after is not None
    assert is_anomalous((active,))
    assert not is_anomalous((after,))
    assert not is_anomalous((replace(active, verdict="ineffective"),))
    assert not is_anomalous(())
