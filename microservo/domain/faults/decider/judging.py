"""The end of a fault's story: what the effect observer says of it, and when no more is waited for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from microservo.domain.faults.decider.state import ClosedFault, OpenFault
from microservo.domain.faults.decider.step import Step
from microservo.domain.faults.lifecycle import FaultStatus, findings_of
from schemas.records import FaultEvent, FaultVerdict

VERDICT_WITHIN_US = 60_000_000
"""How long a final verdict is waited for once a fault is over."""
NO_OBSERVER = f"no observer answered within {VERDICT_WITHIN_US // 1_000_000} s of the end"


def over(step: Step, fault: OpenFault) -> None:
    """A fault is over; the verdict on one that was in force is waited for."""
    due_us = verdict_due_us(fault.status)
    if due_us is None:
        close(step, fault)
    else:
        step.schedule(due_us, "verdict", fault.id)


def close(step: Step, fault: OpenFault) -> None:
    """Nothing more will come of a fault."""
    step.close(fault.id, ClosedFault(status=fault.status, request=fault.request))


def verdict_due_us(status: FaultStatus) -> int | None:
    """Until when a verdict on a fault that is over is waited for; None where it was never in force.

    What was declared long after it had happened is looked at as long as what has just ended.
    """
    times = status.times()
    if times["applied_at_us"] is None or times["recovered_at_us"] is None:
        return None
    told_us = max(event.at_us for event in status.parts.values())
    return VERDICT_WITHIN_US + max(int(times["recovered_at_us"]), told_us)


def verdict_overdue(step: Step, fault: OpenFault) -> None:
    """No final verdict has come in time: what is known by now holds, or that nobody answered."""
    status = fault.status
    if status.verdict() == "pending":
        status = _told(step, status, verdict="inconclusive", effect_evidence=NO_OBSERVER)
    close(step, step.put(replace(fault, status=status)))


def judged(step: Step, verdict: FaultVerdict) -> None:
    """Enters a verdict that is newer than the one that is known, even if it was awaited no longer."""
    known = step.state.status(verdict.fault_id)
    if known is None or known.whole.run_id != verdict.run_id:
        return
    status = _told(step, known, **findings_of(verdict))
    fault = step.state.open.get(verdict.fault_id)
    if fault is not None:
        fault = step.put(replace(fault, status=status))
        if verdict.is_final and status.is_over:
            close(step, fault)
    elif status is not known:
        request = step.state.request(verdict.fault_id)
        step.close(verdict.fault_id, ClosedFault(status=status, request=request))


def _told(step: Step, status: FaultStatus, **findings: Any) -> FaultStatus:
    """The status with what was found, on all instances where that is news; the services are told nothing.

    Labels take what was measured from where it was measured, service by service.
    """
    version = findings.get("verdict_version")
    for instance, event in sorted(status.parts.items()):
        if _was_in_force(event) and (version is None or event.verdict_version < version):
            status = status.advance(instance, event.state, step.now_us, **findings)
            step.publish(status.latest[instance])
    return status


def _was_in_force(event: FaultEvent) -> bool:
    return event.applied_at_us is not None and event.state != "applying"
