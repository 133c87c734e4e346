"""What is published of the tests of a fault: effects by service, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from microservo.domain.effects.fault import ObservedFault
from microservo.domain.effects.measure_test import MeasureTest
from microservo.domain.effects.watch import Watch
from schemas.records import EffectVerdict, FaultEffect, FaultVerdict, Finding

_DECIDING = frozenset({"root", "caller", "user"})
"""Relations of the services whose effects confirm a fault, and without whose it is ineffective.

A service behind the root cause that gets fewer requests, or a neighbour that is slower, is affected; but that
happens for many reasons, and confirms nothing by itself.
"""


def effect_of(fault: ObservedFault, watch: Watch, *, is_settled: bool) -> FaultEffect:
    """What is known of a fault at a service, as version 0."""
    finding = finding_of(fault, watch, is_settled=is_settled)
    record = fault.records[watch.service]
    effect = FaultEffect(
        run_id=fault.run_id,
        fault_id=fault.fault_id,
        service=watch.service,
        version=0,
        root_service=fault.root_service,
        relation=record.relation,
        finding=finding,
        starts_us=(),
        ends_us=(),
        is_open=False,
        through_us=watch.through_us,
        is_final=watch.is_final,
        evidence=_without_effect(fault, watch, finding),
    )
    test = watch.decisive
    if test is not None and finding == "visible":
        return _visible(effect, watch, test)
    tested = [test for test in watch.tests if test.last is not None]
    if not tested or not fault.has_acted:
        return effect
    return _with_test(effect, min(tested, key=lambda test: test.p_value))


def finding_of(fault: ObservedFault, watch: Watch, *, is_settled: bool) -> Finding:
    """What was found at a service so far."""
    if fault.contract.is_empty:
        return "not_visible"
    if not fault.has_acted:
        return "inconclusive" if is_settled else "undecided"
    return watch.finding(is_settled=is_settled)


def verdict_of(fault: ObservedFault, watches: Sequence[Watch], *, is_final: bool) -> FaultVerdict | None:
    """The verdict as version 0; None while there is nothing to say."""
    own = [watch for watch in watches if _is_own(watch)] if fault.has_acted else []
    deciding = [watch for watch in own if fault.records[watch.service].relation in _DECIDING]
    if not (deciding or is_final):
        return None
    record = FaultVerdict(
        run_id=fault.run_id,
        fault_id=fault.fault_id,
        service=fault.root_service,
        version=0,
        verdict="confirmed",
        is_final=is_final,
    )
    if not deciding:
        verdict, evidence = _unconfirmed(fault, watches)
        return replace(record, verdict=verdict, evidence=evidence)
    intervals = [interval for watch in own for interval in watch.intervals]
    if not intervals:
        return None
    first = min(intervals, key=lambda interval: interval.start_us)
    last = max(intervals, key=lambda interval: interval.end_us)
    is_over = all(not watch.is_open for watch in own) and last.end_within_us is not None
    return replace(
        record,
        effect_seen_at_us=first.start_us,
        effect_seen_within_us=first.start_within_us,
        normal_at_us=last.end_us if is_over else None,
        normal_within_us=last.end_within_us if is_over else None,
        evidence=_said(min(deciding, key=_p_value)),
    )


def _is_own(watch: Watch) -> bool:
    test = watch.decisive
    return test is not None and test.found is not None and not test.found.shared_with


def _p_value(watch: Watch) -> float:
    test = watch.decisive
    return 1.0 if test is None or test.found is None else test.found.p_value


def _said(watch: Watch) -> str:
    test = watch.decisive
    return "" if test is None else f"{watch.service}: {_sentence(test)}"


def _unconfirmed(fault: ObservedFault, watches: Sequence[Watch]) -> tuple[EffectVerdict, str]:
    if fault.contract.is_empty:
        return "ineffective", "nothing should show of it, so nothing was tested"
    if not fault.has_acted:
        return "inconclusive", "the mechanism acted on nothing"
    moved = sorted(watch.service for watch in watches if watch.decisive is not None)
    if moved:
        return "inconclusive", f"what moved at {', '.join(moved)} may have other causes"
    deciding = [watch for watch in watches if fault.records[watch.service].relation in _DECIDING]
    blind = sorted(each.service for each in deciding if each.finding(is_settled=True) != "not_visible")
    if blind:
        return "inconclusive", f"too little telemetry to see an effect at {', '.join(blind)}"
    return "ineffective", "all that should move was looked at, and nothing did"


def _without_effect(fault: ObservedFault, watch: Watch, finding: Finding) -> str:
    if fault.contract.is_empty:
        return "nothing should show of it, so nothing was tested"
    if not fault.has_acted:
        return "the mechanism acted on nothing"
    if not watch.tests:
        return "too little telemetry of this service without faults to test anything against"
    if finding == "inconclusive":
        return "too few records began while the fault was in force to rule out that they moved"
    return ""


def _visible(effect: FaultEffect, watch: Watch, test: MeasureTest) -> FaultEffect:
    assert test.found is not None
    shared = test.found.shared_with
    evidence = _sentence(test) + (f"; {', '.join(shared)} would explain it as well" if shared else "")
    intervals = watch.intervals
    first, last = (intervals[0], intervals[-1]) if intervals else (None, None)
    return replace(
        _with_test(effect, test),
        starts_us=tuple(interval.start_us for interval in intervals),
        ends_us=tuple(interval.end_us for interval in intervals),
        is_open=watch.is_open,
        shared_with=shared,
        first_within_us=None if first is None else first.start_within_us,
        last_within_us=None if last is None or watch.is_open else last.end_within_us,
        late_starts_us=tuple(stretch.start_us for stretch in watch.late),
        late_ends_us=tuple(stretch.end_us for stretch in watch.late),
        evidence=evidence,
    )


def _with_test(effect: FaultEffect, test: MeasureTest) -> FaultEffect:
    outcome = test.last if test.found is None else test.found.outcome
    assert outcome is not None
    has_value = outcome.value == outcome.value
    return replace(
        effect,
        series=test.series,
        baseline=outcome.baseline,
        value=outcome.value if has_value else None,
        samples=outcome.records,
        p_value=test.p_value if test.found is None else test.found.p_value,
        evidence=effect.evidence or _sentence(test),
    )


def _sentence(test: MeasureTest) -> str:
    outcome = test.last if test.found is None else test.found.outcome
    assert outcome is not None
    p_value = test.p_value if test.found is None else test.found.p_value
    change = "went from" if test.found is not None else "stayed, by what matters, at"
    values = (
        f"{change} {outcome.baseline:.4g} to {outcome.value:.4g}"
        if test.found is not None
        else f"{change} {outcome.baseline:.4g} ({outcome.value:.4g})"
    )
    return (
        f"{test.series} {values} in {outcome.records} records that began while the fault was in force "
        f"(p = {p_value:.2g}, against {outcome.stretches} fault-free stretches of the same length)"
    )
