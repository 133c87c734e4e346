"""Faults that others made: entered as they are declared, and ended when that is declared."""

from __future__ import annotations

from microservo.domain.faults.decider.acting import settle_exposed
from microservo.domain.faults.decider.judging import close, over
from microservo.domain.faults.decider.state import OpenFault
from microservo.domain.faults.decider.step import Step
from microservo.domain.faults.declared import Declaration, check_end, declared_by
from microservo.domain.faults.lifecycle import WHOLE, FaultStatus
from schemas.records import FaultRequest

LEFT_OPEN = "its run was over before its end was declared"


def declare(step: Step, request: FaultRequest, declared: Declaration, *, version: int) -> None:
    """Enters a declared fault that is new."""
    status = FaultStatus.declare(declared, run_id=step.state.run_id, at_us=step.now_us, version=version)
    fault = OpenFault(status=status, fault=None, instances=declared.instances, request=request)
    step.publish(status.whole)
    complete(step, settle_exposed(step, fault), declared)


def complete(step: Step, fault: OpenFault, declared: Declaration) -> None:
    """Enters what a crash has kept from being entered of a declared fault; all of it, if it is new."""
    for instance in fault.instances or (WHOLE,):
        if fault.status.state(instance) == "requested":
            fault = step.advance(
                fault,
                instance,
                "active",
                applied_at_us=declared.start_at_us,
                applied_within_us=declared.within_us,
                apply_evidence=declared.evidence,
            )
    if declared.end_at_us is not None:
        _end(step, fault, declared.end_at_us, declared.within_us, declared.evidence)


def end_declared(step: Step, fault: OpenFault, request: FaultRequest) -> None:
    """Ends a declared fault when a request says, or when it was made.

    Raises:
        InvalidInput: that is no instant at which it can have ended.
    """
    end_us = request.requested_at_us if request.end_at_us is None else request.end_at_us
    check_end(end_us, fault.status.times()["applied_at_us"], step.now_us)
    _end(step, fault, end_us, request.within_us, declared_by(request))


def go_on(step: Step, fault: OpenFault) -> None:
    """After a restart: what is in force stays so within its run, and what is over waits for its verdict."""
    if not fault.status.is_over and fault.status.whole.run_id != step.state.run_id:
        for instance in sorted(fault.status.parts):
            fault = step.advance(fault, instance, "stopped", reason=LEFT_OPEN)
        close(step, fault)
    elif fault.status.is_over:
        over(step, fault)


def _end(step: Step, fault: OpenFault, at_us: int, within_us: int | None, evidence: str) -> None:
    for instance, event in sorted(fault.status.parts.items()):
        if event.state == "active":
            fault = step.advance(
                fault,
                instance,
                "recovered",
                recovered_at_us=at_us,
                recovered_within_us=within_us,
                recovery_evidence=evidence,
            )
    over(step, fault)
