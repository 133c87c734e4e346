"""Requests: accepted, refused with an event that says why, or known already."""

from __future__ import annotations

from dataclasses import replace

from microservo.domain.faults.catalogue import LATEST_START_US, PlannedFault, parse_request
from microservo.domain.faults.decider.acting import end
from microservo.domain.faults.decider.declaring import complete, declare, end_declared
from microservo.domain.faults.decider.state import OpenFault
from microservo.domain.faults.decider.step import Step, rejected
from microservo.domain.faults.declared import Declaration, parse_declaration
from microservo.domain.faults.lifecycle import WHOLE, FaultStatus, rejection
from microservo.domain.faults.targets import targets_of
from microservo.errors import InvalidInput, Unavailable
from schemas.records import FaultEvent, FaultRequest

STOPPED = "stopped by request"
MISSED = "its start passed while no injector was running"
_LONGEST_ID = 64


def receive(step: Step, request: FaultRequest) -> None:
    """Decides on one request; the same one again changes nothing."""
    if request.action == "stop":
        _stop(step, request)
        return
    known = step.state.status(request.fault_id)
    if known is not None and known.is_accepted:
        _receive_again(step, request, known)
        return
    version = 1 if known is None else known.version + 1
    try:
        if request.action == "declare":
            declare(step, request, _declared(step, request), version=version)
        else:
            _accept(step, request, _planned(step, request), version=version)
    except (InvalidInput, Unavailable) as error:
        _refuse(step, request, str(error))


def schedule_start(step: Step, fault: OpenFault, request: FaultRequest) -> None:
    """Plans the start of a fault that an earlier process accepted."""
    start_us = request.requested_at_us if request.start_at_us is None else request.start_at_us
    if step.now_us > start_us + LATEST_START_US:
        end(step, fault, MISSED)
    else:
        step.schedule(start_us, "apply", fault.id)


def _planned(step: Step, request: FaultRequest) -> PlannedFault:
    target = step.state.target
    if target is None:
        raise Unavailable(step.state.problem)
    return parse_request(
        request,
        target.services,
        target.kinds,
        labels=target.labels,
        down=target.down,
        now_us=step.now_us,
    )


def _declared(step: Step, request: FaultRequest) -> Declaration:
    return parse_declaration(request, run_from_us=step.state.run_from_us, now_us=step.now_us)


def _accept(step: Step, request: FaultRequest, planned: PlannedFault, *, version: int) -> None:
    status = FaultStatus.begin(planned, run_id=step.state.run_id, at_us=step.now_us, version=version)
    fault = step.put(
        OpenFault(status=status, fault=planned.fault, instances=planned.instances, request=request)
    )
    step.publish(status.whole)
    step.advance(fault, WHOLE, "scheduled")
    step.schedule(planned.start_at_us, "apply", fault.id)


def _receive_again(step: Step, request: FaultRequest, known: FaultStatus) -> None:
    first = step.state.request(request.fault_id)
    if not _is_same(request, known, first):
        _refuse(step, request, f"the id {request.fault_id!r} is taken; choose another one")
        return
    fault = step.state.open.get(request.fault_id)
    if first is not None or fault is None or fault.status.is_over:
        return
    if request.action == "declare":
        try:
            declared = _declared(step, request)
        except InvalidInput as error:
            # Another one of the same instant: of the first nothing else is left to tell them apart by.
            _refuse(step, request, str(error))
            return
        complete(step, step.put(replace(fault, request=request)), declared)
        return
    if fault.status.instances:
        return
    # Its state was lost in a crash before the request was committed, so it comes once more.
    fault = step.put(replace(fault, request=request, instances=_meant(step, request)))
    step.store(fault.id)
    schedule_start(step, fault, request)


def _meant(step: Step, request: FaultRequest) -> tuple[str, ...]:
    """The instances of a fault that was accepted, as far as they are still there."""
    target = step.state.target
    try:
        return request.instances if target is None else targets_of(request, target.services, target.labels)
    except InvalidInput:
        return request.instances


def _stop(step: Step, request: FaultRequest) -> None:
    fault = step.state.open.get(request.fault_id)
    if fault is not None and not fault.status.is_over:
        _stop_open(step, fault, request)
        return
    known = step.state.status(request.fault_id)
    if known is not None and (known.whole.reason == STOPPED or _ended_by(request, known)):
        return  # the request that stopped it before it began, or that declared its end, read again
    what = "is over already" if known is not None and known.is_accepted else "is not known"
    _refuse(step, request, f"fault {request.fault_id[:80]!r} {what}, so there is nothing to stop")


def _stop_open(step: Step, fault: OpenFault, request: FaultRequest) -> None:
    try:
        if fault.fault is None:
            end_declared(step, fault, request)
        elif request.end_at_us is None:
            end(step, fault, STOPPED)
        else:
            msg = f"the end of {fault.id} is measured, for it was injected; stop it without saying when"
            raise InvalidInput(msg)
    except InvalidInput as error:
        _refuse(step, request, str(error))


def _ended_by(request: FaultRequest, known: FaultStatus) -> bool:
    """Whether this request declared the end of a fault."""
    end_us = request.requested_at_us if request.end_at_us is None else request.end_at_us
    return known.is_declared and known.times()["recovered_at_us"] == end_us


def _refuse(step: Step, request: FaultRequest, reason: str) -> None:
    known = step.state.status(request.fault_id)
    if known is not None and _is_refused_so(request, known, reason):
        return
    event, status = rejection(_rejected(step, request, reason), known)
    rejected(step, event, status)


def _is_same(request: FaultRequest, known: FaultStatus, first: FaultRequest | None) -> bool:
    """Whether a request is the one that a fault began with, read again."""
    if first is not None:
        return request == first
    whole = known.whole
    begun_with = (whole.kind, whole.service, whole.duration_us, whole.requested_at_us)
    return begun_with == (request.kind, request.service, request.duration_us, request.requested_at_us)


def _is_refused_so(request: FaultRequest, known: FaultStatus, reason: str) -> bool:
    """Whether this very refusal is the newest event already: the request is read again."""
    whole = known.whole
    return (whole.state, whole.requested_at_us, whole.reason) == ("rejected", request.requested_at_us, reason)


def _rejected(step: Step, request: FaultRequest, reason: str) -> FaultEvent:
    event = FaultEvent(
        run_id=step.state.run_id,
        fault_id=request.fault_id,
        version=1,
        kind=request.kind,
        service=request.service,
        instance=WHOLE,
        state="rejected",
        at_us=step.now_us,
        requested_at_us=request.requested_at_us,
        duration_us=request.duration_us,
        parameters=dict(request.parameters),
        reason=reason,
    )
    # An id that is too long was refused for it; the event must still have a key of decent size.
    return replace(event, fault_id=request.fault_id[:_LONGEST_ID])
