"""The truth about a window: two facts, kept apart, and the rule that makes one word of them.

::

    seconds    0    5    10   15   20   25
    windows    [----)[----)[----)[----)[----)
    in force        7 |=======| 13
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microservo.domain.labels import Evidence, Span, covered_us, evidence
from microservo.domain.truth import NO_FAULTS, WindowTruth, window_truth
from schemas.records import FaultEffect, Finding, ServiceFault, Truth

S = 1_000_000
ROOT = ServiceFault(
    run_id="run",
    fault_id="f",
    version=2,
    kind="network-delay",
    service="cart",
    root_service="cart",
    role="root_cause",
    relation="root",
    hops=0,
    severity=0.5,
    requested_at_us=6 * S,
    apply_commanded_at_us=7 * S - 1000,
    applied_at_us=7 * S,
    recovery_commanded_at_us=13 * S - 1000,
    recovered_at_us=13 * S,
)
CALLER = replace(ROOT, service="front", role="exposed", relation="caller", hops=1)
CONTROL = replace(ROOT, severity=0.0)
EARLY = replace(CALLER, apply_commanded_at_us=3 * S)
NOTHING = FaultEffect(
    run_id="run",
    fault_id="f",
    service="cart",
    version=1,
    root_service="cart",
    relation="root",
    finding="not_visible",
    starts_us=(),
    ends_us=(),
    is_open=False,
    through_us=60 * S,
    is_final=True,
)
UNDECIDED = replace(NOTHING, finding="undecided", is_final=False, through_us=0)
INCONCLUSIVE = replace(NOTHING, finding="inconclusive")


Stretches = tuple[tuple[float, float], ...]


def seen(
    *intervals: tuple[float, float], shared_with: tuple[str, ...] = (), late: Stretches = ()
) -> FaultEffect:
    """A visible effect, from first to last deviating record in seconds; `late` ended after the fault."""
    return replace(
        NOTHING,
        finding="visible",
        starts_us=tuple(round(first * S) for first, _ in intervals),
        ends_us=tuple(round(last * S) for _, last in intervals),
        shared_with=shared_with,
        late_starts_us=tuple(round(first * S) for first, _ in late),
        late_ends_us=tuple(round(last * S) for _, last in late),
    )


def judge(start_s: float, *known: tuple[ServiceFault, FaultEffect | None]) -> WindowTruth:
    window = Span(round(start_s * S), round((start_s + 5) * S))
    found = [evidence(fault, effect, window) for fault, effect in known]
    return window_truth([each for each in found if each is not None], window)


def truths(fault: ServiceFault, effect: FaultEffect | None) -> list[Truth]:
    """Of the windows that begin at 0, 5, 10, 15, 20 and 45 s."""
    return [judge(start_s, (fault, effect)).truth for start_s in (0, 5, 10, 15, 20, 45)]


@pytest.mark.parametrize(
    ("fault", "effect", "expected"),
    [
        pytest.param(ROOT, seen((8, 16)), "-AA?--", id="root, seen"),
        pytest.param(CALLER, seen((8, 16)), "-AA?--", id="affected"),
        pytest.param(ROOT, NOTHING, "-??---", id="root, never seen"),
        pytest.param(CALLER, NOTHING, "------", id="exposed"),
        pytest.param(ROOT, UNDECIDED, "-????-", id="root, undecided"),
        pytest.param(CALLER, UNDECIDED, "-????-", id="exposed, undecided"),
        pytest.param(CALLER, None, "-????-", id="nobody measures"),
        pytest.param(CALLER, INCONCLUSIVE, "-????-", id="too little to say"),
        pytest.param(CALLER, seen((9.5, 12)), "-?A---", id="it begins at the end of a window"),
        pytest.param(CALLER, seen((9, 9)), "-A----", id="one record"),
        pytest.param(CALLER, seen((9, 9.2)), "-A----", id="short and whole"),
        pytest.param(CALLER, seen((8, 9), (12, 12.5)), "-AA---", id="twice"),
        pytest.param(CALLER, seen((13.5, 22)), "--???-", id="after the recovery only"),
        pytest.param(CALLER, seen((16, 16.5), late=((16, 16.5),)), "---A--", id="all calls end after it"),
        pytest.param(CALLER, seen((16, 22), late=((16, 16.5),)), "---A?-", id="and a slow tail follows"),
        pytest.param(
            CALLER, seen((8, 16), late=((13, 15.1),)), "-AA?--", id="a little of it ends in the next"
        ),
        pytest.param(CALLER, seen((8, 18), late=((16, 18),)), "-AAA--", id="it ends in two windows"),
        pytest.param(CONTROL, seen((16, 16.5), late=((16, 16.5),)), "------", id="control, late"),
        pytest.param(EARLY, seen((4, 6)), "??----", id="before it was in force"),
        pytest.param(ROOT, seen((8, 16), shared_with=("g",)), "-AA?--", id="shared"),
        pytest.param(CONTROL, seen((8, 16)), "------", id="control"),
        pytest.param(CONTROL, None, "------", id="control, undecided"),
    ],
)
def test_the_rule(fault: ServiceFault, effect: FaultEffect | None, expected: str) -> None:
    """Letters are windows: A anomalous, ? masked, - normal."""
    letters = {"anomalous": "A", "masked": "?", "normal": "-"}
    assert "".join(letters[truth] for truth in truths(fault, effect)) == expected


def test_a_window_names_both_facts_and_neither_filters_the_other() -> None:
    unseen, elsewhere = judge(5, (ROOT, NOTHING)), judge(5, (CALLER, seen((8, 16))))
    assert (unseen.in_force, unseen.visible, unseen.role) == (0.6, 0.0, "root_cause")
    assert (elsewhere.in_force, elsewhere.visible, elsewhere.role) == (0.0, 0.4, "affected")
    undecided = judge(5, (ROOT, seen((8, 16))), (replace(CALLER, fault_id="g"), UNDECIDED))
    assert (undecided.in_force, undecided.visible, undecided.truth) == (0.6, None, "anomalous")


def test_shares_of_several_faults_are_those_of_their_union() -> None:
    other = replace(ROOT, fault_id="g", applied_at_us=9 * S)
    found = judge(5, (ROOT, seen((6, 8))), (other, seen((7, 9))))
    assert found.in_force == 0.6
    assert found.visible == pytest.approx(0.6)
    assert [label.fault_id for label in found.labels] == ["f", "g"]


def test_a_window_without_faults_is_normal() -> None:
    assert judge(5) == NO_FAULTS
    assert (NO_FAULTS.truth, NO_FAULTS.in_force, NO_FAULTS.visible, NO_FAULTS.role) == ("normal", 0, 0, None)


Known = list[tuple[ServiceFault, FaultEffect | None]]
INSTANTS = st.integers(0, 40 * S)
FINDINGS: st.SearchStrategy[Finding] = st.sampled_from(
    ("undecided", "visible", "not_visible", "inconclusive")
)


@st.composite
def faults(draw: st.DrawFn) -> ServiceFault:
    commanded, applied, recovery, recovered = sorted(draw(st.tuples(*[INSTANTS] * 4)))
    is_root, reached = draw(st.booleans()), draw(st.integers(0, 3))
    return replace(
        ROOT if is_root else CALLER,
        fault_id=draw(st.text("abc", min_size=1, max_size=4)),
        severity=draw(st.sampled_from((0.0, 0.5))),
        apply_commanded_at_us=commanded,
        applied_at_us=applied if reached > 0 else None,
        recovery_commanded_at_us=recovery if reached > 1 else None,
        recovered_at_us=recovered if reached > 2 else None,
    )


@st.composite
def effects(draw: st.DrawFn) -> FaultEffect | None:
    if draw(st.integers(0, 4)) == 0:
        return None
    finding = draw(FINDINGS)
    ends = sorted(draw(st.lists(INSTANTS, max_size=6))) if finding == "visible" else []
    is_late = len(ends) > 1 and draw(st.booleans())
    return replace(
        NOTHING,
        finding=finding,
        starts_us=tuple(ends[: len(ends) // 2 * 2 : 2]),
        ends_us=tuple(ends[1::2]),
        # Of some interval.
        late_starts_us=tuple(ends[:1] if is_late else ()),
        late_ends_us=tuple(ends[1:2] if is_late else ()),
        through_us=draw(INSTANTS),
        is_final=draw(st.booleans()),
    )


KNOWN = st.lists(st.tuples(faults(), effects()), max_size=4, unique_by=lambda known: known[0].fault_id)
WINDOWS = st.integers(0, 9).map(lambda number: Span(number * 5 * S, (number + 1) * 5 * S))


def found_in(window: Span, known: Known) -> list[Evidence]:
    found = [evidence(fault, effect, window) for fault, effect in known]
    return [each for each in found if each is not None]


@given(known=KNOWN, window=WINDOWS)
def test_anomalous_means_that_an_effect_was_measured_of_what_met_a_fault_with_a_severity(
    known: Known, window: Span
) -> None:
    found = found_in(window, known)
    if window_truth(found, window).truth != "anomalous":
        return
    harmful = [each for each in found if each.label.finding == "visible" and each.label.severity > 0]
    assert any(each.label.visible > 0 and covered_us(window, each.shown) > 0 for each in harmful)


@given(known=KNOWN, window=WINDOWS)
def test_what_began_when_no_fault_was_in_force_makes_no_window_anomalous(known: Known, window: Span) -> None:
    nothing_late: Known = [
        (fault, effect and replace(effect, late_starts_us=(), late_ends_us=())) for fault, effect in known
    ]
    found = found_in(window, nothing_late)
    if all(each.in_force.shared_with(window).length_us == 0 for each in found):
        assert window_truth(found, window).truth != "anomalous"


@given(known=KNOWN, window=WINDOWS)
def test_a_control_is_never_anomalous(known: Known, window: Span) -> None:
    controls = [(replace(fault, severity=0.0), effect) for fault, effect in known]
    truth = window_truth(found_in(window, controls), window)
    assert truth.truth == "normal"
    assert truth.in_force == 0


@given(known=KNOWN, window=WINDOWS)
def test_a_window_of_the_root_cause_is_never_normal_while_a_fault_is_in_force(
    known: Known, window: Span
) -> None:
    truth = window_truth(found_in(window, known), window)
    assert truth.in_force == 0 or truth.truth != "normal"


@given(known=KNOWN, other=st.tuples(faults(), effects()), window=WINDOWS)
def test_another_fault_without_severity_changes_no_truth(
    known: Known,
    other: tuple[ServiceFault, FaultEffect | None],
    window: Span,
) -> None:
    control = (replace(other[0], fault_id="~control", severity=0.0), other[1])
    alone = window_truth(found_in(window, known), window)
    together = window_truth(found_in(window, [*known, control]), window)
    assert (alone.truth, alone.in_force) == (together.truth, together.in_force)


@given(known=KNOWN, window=WINDOWS)
def test_what_was_seen_changes_nothing_about_what_was_in_force(known: Known, window: Span) -> None:
    unseen: Known = [(fault, None) for fault, _ in known]
    assert window_truth(found_in(window, known), window).in_force == (
        window_truth(found_in(window, unseen), window).in_force
    )
