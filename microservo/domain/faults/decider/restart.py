"""After a restart: what earlier processes left unfinished goes on."""

from __future__ import annotations

from microservo.domain.faults.decider import declaring
from microservo.domain.faults.decider.acting import check, end, expect_end, recover_now, settle_exposed
from microservo.domain.faults.decider.actions import Warn
from microservo.domain.faults.decider.events import KnownFault
from microservo.domain.faults.decider.judging import over, verdict_due_us
from microservo.domain.faults.decider.requests import schedule_start
from microservo.domain.faults.decider.state import ClosedFault, OpenFault
from microservo.domain.faults.decider.step import Step
from microservo.domain.faults.lifecycle import FaultStatus
from microservo.errors import InvalidInput

REQUEST_WITHIN_US = 120_000_000
"""How long a request that was not committed may take to be read again: the group must notice the crash."""
NO_REQUEST = "the injector restarted and found no request for it"


def restore(step: Step, known: KnownFault) -> None:
    """Enters a fault that an earlier process left, and goes on with it if it is not finished."""
    fault_id, status = known.status.whole.fault_id, known.status
    closed = ClosedFault(status=status, request=known.request)
    if is_unfinished(status, step.now_us):
        try:
            fault = OpenFault.from_status(
                status, instances=known.instances, request=known.request, exposed=known.exposed
            )
        except InvalidInput as error:
            step.do(Warn(text=f"fault {fault_id} can't be gone on with: {error}"))
            step.close(fault_id, closed)
        else:
            _go_on(step, step.put(fault))
    else:
        step.close(fault_id, closed)
    if not known.is_stored:
        step.store(fault_id)


def is_unfinished(status: FaultStatus, now_us: int) -> bool:
    """Whether there is still something to do: it is not over, or was not judged and still can be."""
    if not status.is_accepted:
        return False
    if not status.is_over:
        return True
    due_us = verdict_due_us(status)
    if due_us is None:
        return False
    lacks_normal = any(event.normal_at_us is None for event in status.parts.values())
    may_follow = status.verdict() == "confirmed" and lacks_normal and now_us < due_us
    return status.verdict() == "pending" or may_follow


def request_missing(step: Step, fault: OpenFault) -> None:
    """Ends a fault of which the request has not been read again."""
    if fault.request is None and not fault.status.instances and not fault.status.is_over:
        end(step, fault, NO_REQUEST)


def _go_on(step: Step, fault: OpenFault) -> None:
    if fault.fault is None:
        declaring.go_on(step, fault)
        return
    if not fault.status.instances:
        _await_start(step, fault)
        return
    fault = settle_exposed(step, fault)
    for instance in fault.status.instances:
        fault = _go_on_with(step, fault, instance)
    if fault.status.is_over:
        over(step, fault)


def _await_start(step: Step, fault: OpenFault) -> None:
    if fault.request is None:
        step.schedule(step.now_us + REQUEST_WITHIN_US, "request", fault.id)
    else:
        schedule_start(step, fault, fault.request)


def _go_on_with(step: Step, fault: OpenFault, instance: str) -> OpenFault:
    state = fault.status.state(instance)
    if state == "recovering":
        return recover_now(step, fault, instance)
    if state == "active":
        expect_end(step, fault, instance)
    if state == "applying" or (state == "active" and fault.lasts):
        # Also lets the mechanism know what it should be holding, so that it can let go of it.
        return check(step, fault, instance)
    return fault
