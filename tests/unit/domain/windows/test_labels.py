"""Labels: what a fault and its effect mean for a window.

::

    seconds    0    5    10   15   20
    windows    [----)[----)[----)[----)
    applied         7 |=======| 13
    deviating        8 |--------| 16
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microservo.domain.fault_versions import FaultVersions
from microservo.domain.labels import AFTER_EFFECT_US, FOREVER, Evidence, Span, evidence
from microservo.domain.truth import NO_FAULTS, WindowTruth
from microservo.domain.watermarks import NEVER_WAITS_US, NOTHING_PASSED, UNKNOWN, Cut, Passed
from schemas.records import FaultEffect, Finding, Phase, ServiceFault

S = 1_000_000
OPEN = ServiceFault(
    run_id="run",
    fault_id="delay",
    version=1,
    kind="network-delay",
    service="cart",
    root_service="cart",
    role="root_cause",
    relation="root",
    hops=0,
    severity=0.5,
    requested_at_us=6 * S,
    apply_commanded_at_us=int(6.5 * S),
    applied_at_us=7 * S,
    instances=("cart-0", "cart-1"),
    applied_us=(7 * S, 11 * S),
    recovered_us=(0, 0),
)
OVER = replace(
    OPEN,
    version=2,
    recovery_commanded_at_us=12 * S,
    recovered_at_us=13 * S,
    recovered_us=(9 * S, 13 * S),
)
SEEN = FaultEffect(
    run_id="run",
    fault_id="delay",
    service="cart",
    version=1,
    root_service="cart",
    relation="root",
    finding="visible",
    starts_us=(8 * S,),
    ends_us=(16 * S - 1,),
    is_open=False,
    through_us=25 * S,
    is_final=True,
)
EXPOSED = replace(OVER, role="exposed", relation="caller", service="front", hops=1)


def known(
    fault: ServiceFault, start_s: float, end_s: float, effect: FaultEffect | None = SEEN
) -> Evidence | None:
    return evidence(fault, effect, Span(int(start_s * S), int(end_s * S)))


def label_of(
    fault: ServiceFault, start_s: float, end_s: float, effect: FaultEffect | None = SEEN
) -> tuple[Phase, float]:
    found = known(fault, start_s, end_s, effect)
    assert found is not None
    return found.label.phase, found.label.overlap


@pytest.mark.parametrize(
    ("start_s", "phase", "overlap"),
    [(5, "active", 0.6), (10, "active", 0.6), (15, "after_effect", 0.0)],
)
def test_a_label_has_the_longest_phase_and_the_share_in_force(
    start_s: int, phase: Phase, overlap: float
) -> None:
    assert label_of(OVER, start_s, start_s + 5) == (phase, overlap)


@pytest.mark.parametrize(("start_s", "end_s"), [(0, 5), (20, 25), (16, 20), (6, 6.5)])
def test_a_window_that_the_fault_does_not_touch_has_no_label(start_s: float, end_s: float) -> None:
    assert known(OVER, start_s, end_s) is None


def test_applying_and_recovering_are_phases_of_their_own() -> None:
    assert label_of(OVER, 6.5, 7) == ("applying", 0.0)
    assert label_of(OVER, 12, 13) == ("recovering", 1.0)


def test_a_fault_that_failed_to_apply_is_only_ever_applying_and_nothing_more_is_waited_for() -> None:
    failed = replace(OPEN, applied_at_us=None, recovered_at_us=9 * S, instances=(), applied_us=())
    failed = replace(failed, recovered_us=())
    assert label_of(failed, 5, 10, None) == ("applying", 0.0)
    found = known(failed, 5, 10, None)
    assert found is not None
    assert found.is_settled
    assert known(failed, 10, 15, None) is None


@given(start=st.integers(0, 30 * S), size=st.integers(1, 10 * S))
def test_overlaps_of_adjacent_windows_add_up(start: int, size: int) -> None:
    def share(begin: int, end: int) -> float:
        found = evidence(OVER, SEEN, Span(begin, end))
        return found.label.overlap * (end - begin) if found else 0.0

    middle = start + size
    assert share(start, middle) + share(middle, middle + size) == pytest.approx(
        share(start, middle + size), abs=1
    )


def test_a_label_names_the_instances_on_which_the_fault_is_in_force_in_the_window() -> None:
    instances = [
        () if found is None else found.label.instances
        for found in (known(OVER, start_s, start_s + 2) for start_s in (5, 8, 9, 10, 13))
    ]
    assert instances == [(), ("cart-0",), (), ("cart-1",), ()]
    still = known(OPEN, 20, 25)
    assert still is not None
    assert still.label.instances == ("cart-0", "cart-1")


@pytest.mark.parametrize(
    ("end_s", "phases"),
    [(14, {13: "after_effect", 14: None}), (60, {42: "after_effect", 43: None})],
)
def test_an_after_effect_lasts_until_the_last_deviating_record_and_30_seconds_at_most(
    end_s: int, phases: dict[int, Phase | None]
) -> None:
    effect = replace(SEEN, ends_us=(end_s * S - 1,))
    for start_s, phase in phases.items():
        found = known(OVER, start_s, start_s + 1, effect)
        assert (found and found.label.phase) == phase


@pytest.mark.parametrize(
    ("effect", "is_labelled"),
    [
        (None, True),
        (replace(SEEN, is_final=False, through_us=35 * S - 1), True),
        (replace(SEEN, is_final=False, through_us=35 * S), False),
        (replace(SEEN, finding="not_visible", starts_us=(), ends_us=()), False),
    ],
)
def test_while_nobody_can_say_whether_it_goes_on_there_may_be_an_after_effect(
    effect: FaultEffect | None, is_labelled: bool
) -> None:
    assert (known(OVER, 30, 35, effect) is not None) == is_labelled


def test_where_there_was_too_little_to_say_the_after_effect_may_last_ten_seconds() -> None:
    effect = replace(SEEN, finding="inconclusive", starts_us=(), ends_us=())
    assert known(OVER, 22, 23, effect) is not None
    assert known(OVER, 23, 24, effect) is None


@pytest.mark.parametrize(
    ("through_s", "is_final", "finding"),
    [(9.9, False, "undecided"), (10, False, "visible"), (9.9, True, "visible")],
)
def test_a_finding_holds_for_the_windows_that_were_looked_at_to_their_end(
    through_s: float, is_final: bool, finding: Finding
) -> None:
    effect = replace(SEEN, through_us=int(through_s * S), is_final=is_final)
    found = known(EXPOSED, 5, 10, effect)
    assert found is not None
    assert found.label.finding == finding
    assert found.label.role == ("affected" if finding == "visible" else "exposed")
    assert found.label.visible == (0.4 if finding == "visible" else 0.0)


def test_the_share_that_is_visible_counts_no_instant_twice() -> None:
    effect = replace(SEEN, starts_us=(6 * S, 7 * S, 9 * S), ends_us=(8 * S - 1, 8 * S - 1, 9 * S))
    found = known(OVER, 5, 10, effect)
    assert found is not None
    assert found.label.visible == pytest.approx((2 * S + 1) / (5 * S))


@pytest.mark.parametrize(
    ("fault", "effect", "is_settled"),
    [
        (OPEN, None, False),
        (OVER, replace(SEEN, is_final=False), False),
        (OVER, SEEN, True),
        (replace(OPEN, severity=0.0), None, True),
    ],
)
def test_a_label_is_settled_when_no_more_is_measured_or_nothing_that_could_matter(
    fault: ServiceFault, effect: FaultEffect | None, is_settled: bool
) -> None:
    found = known(fault, 5, 10, effect)
    assert found is not None
    assert found.is_settled == is_settled


def truth_at(versions: FaultVersions, start_s: int, cut: Cut) -> WindowTruth:
    span = Span(start_s * S, (start_s + 5) * S)
    return versions.truth("cart", span, cut, is_observed=True)[0]


def test_the_highest_version_stamped_before_the_cut_holds() -> None:
    versions = FaultVersions()
    late = Passed(first_us=20 * S, final_us=20 * S)
    for fault, passed in (
        (replace(OVER, version=3), late._replace(final_us=20 * S - 1)),
        (OPEN, Passed(7 * S, 0)),
        (OVER, late),
    ):
        versions.add_fault(fault, passed)
    phases = [
        [label.phase for label in truth_at(versions, 15, cut).labels]
        for cut in (Cut(20 * S, 0), Cut(20 * S, 1))
    ]
    assert phases == [["active"], ["after_effect"]]


def test_an_effect_is_known_to_the_cuts_after_it_and_never_to_revision_0() -> None:
    versions = FaultVersions()
    versions.add_fault(OVER, NOTHING_PASSED)
    stamp_us = 45 * S
    versions.add_effect(SEEN, Passed(stamp_us - NEVER_WAITS_US, stamp_us - 30 * S))
    found = [truth_at(versions, 5, cut) for cut in (Cut(10 * S, 0), Cut(10 * S, 1), Cut(40 * S, 2))]
    assert [each.labels[0].finding for each in found] == ["undecided", "undecided", "visible"]
    assert [each.truth for each in found] == ["masked", "masked", "anomalous"]


def test_of_a_version_that_is_told_twice_the_earlier_promise_counts() -> None:
    versions = FaultVersions()
    for first_us in (30 * S, 7 * S, 30 * S):
        versions.add_fault(OPEN, Passed(first_us, 0))
    assert len(truth_at(versions, 15, Cut(20 * S, 0)).labels) == 1


def test_labels_are_of_the_service_and_sorted_by_fault() -> None:
    versions = FaultVersions()
    for fault_id in ("b", "a"):
        versions.add_fault(replace(OPEN, fault_id=fault_id), NOTHING_PASSED)
    versions.add_fault(replace(OPEN, fault_id="d", service="frontend"), NOTHING_PASSED)
    labels = truth_at(versions, 10, Cut(15 * S, 0)).labels
    assert [label.fault_id for label in labels] == ["a", "b"]


def test_a_fault_is_needed_until_its_after_effect_is_over_and_then_forgotten() -> None:
    versions = FaultVersions()
    assert versions.ends_us("cart", "delay") == UNKNOWN
    versions.add_fault(OPEN, NOTHING_PASSED)
    assert versions.ends_us("cart", "delay") == FOREVER
    versions.add_fault(OVER, NOTHING_PASSED)
    versions.add_effect(SEEN, NOTHING_PASSED)
    assert versions.ends_us("cart", "delay") == 13 * S + AFTER_EFFECT_US
    versions.forget(13 * S + AFTER_EFFECT_US)
    assert truth_at(versions, 7, Cut(12 * S, 1)).truth == "anomalous"
    versions.forget(13 * S + AFTER_EFFECT_US + 1)
    assert truth_at(versions, 7, Cut(12 * S, 1)) == NO_FAULTS


def test_what_is_measured_of_a_fault_waits_for_it_and_no_longer_than_it_can_come() -> None:
    """A fault lies on another topic than its effect, and may be read after it."""
    versions = FaultVersions()
    versions.add_effect(SEEN, Passed(FOREVER, 40 * S))
    versions.forget(40 * S)
    versions.add_fault(OVER, NOTHING_PASSED)
    assert truth_at(versions, 7, Cut(42 * S, 2)).truth == "anomalous"
    other = FaultVersions()
    other.add_effect(SEEN, Passed(FOREVER, 40 * S))
    other.forget(40 * S + 1)
    assert other.ends_us("cart", "delay") == UNKNOWN


@given(
    stamps=st.lists(st.integers(0, 200), min_size=1, max_size=12),
    before=st.integers(0, 250),
    due=st.integers(0, 250),
    revision=st.integers(0, 2),
)
def test_forgetting_old_versions_changes_no_later_cut(
    stamps: list[int], before: int, due: int, revision: int
) -> None:
    """Faults wait 2 s for the first cut, effects never; the final cut comes 30 s after."""
    whole, forgetful = FaultVersions(), FaultVersions()
    for version, stamp_s in enumerate(stamps, start=1):
        fault = replace(OPEN, version=version, severity=version / 100)
        effect = replace(SEEN, version=version, shared_with=(str(version),), is_final=False)
        for versions in (whole, forgetful):
            versions.add_fault(fault, Passed((stamp_s - 2) * S, (stamp_s - 30) * S))
            versions.add_effect(effect, Passed(stamp_s * S - NEVER_WAITS_US, (stamp_s - 30) * S))
    forgetful.forget(before * S)
    cut = Cut((before + due) * S + 1, revision)
    assert truth_at(forgetful, 5, cut) == truth_at(whole, 5, cut)
