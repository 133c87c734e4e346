"""Where requests come in: accepted, refused with an event that says why, or known already."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from microservo.domain.faults.catalogue import PlannedFault, parse_request
from microservo.domain.faults.lifecycle import WHOLE, FaultStory, rejection
from microservo.errors import InvalidInput, Unavailable
from microservo.platforms.platform import Platform, kinds_here, services_of
from schemas.records import FaultEvent, FaultRequest
from services.fault_injector.carrier import Carrier
from services.fault_injector.casebook import Casebook
from services.fault_injector.open_fault import OpenFault

logger = logging.getLogger(__name__)

STOPPED = "stopped by request"
_LONGEST_ID = 64


class Reception:
    """Judges requests against the target as it is now.

    Args:
        clock: epoch microseconds UTC.
        run_id: of the faults that are accepted.
    """

    def __init__(
        self,
        *,
        casebook: Casebook,
        carrier: Carrier,
        target: Platform,
        clock: Callable[[], int],
        run_id: str,
    ) -> None:
        self._casebook = casebook
        self._carrier = carrier
        self._target = target
        self._clock = clock
        self._run_id = run_id

    def take(self, request: FaultRequest) -> None:
        """Takes in one request; the same one again changes nothing."""
        if request.action == "stop":
            self._stop(request)
        else:
            self._inject(request)

    def _inject(self, request: FaultRequest) -> None:
        known = self._casebook.stories.get(request.fault_id)
        if known is not None and known.is_accepted:
            if not _is_same(request, known, self._casebook.requests.get(request.fault_id)):
                self._refuse(request, f"the id {request.fault_id!r} is taken; choose another one")
            return
        try:
            planned = parse_request(
                request, services_of(self._target), kinds_here(self._target), now_us=self._clock()
            )
        except (InvalidInput, Unavailable) as error:
            self._refuse(request, str(error))
        else:
            self._accept(request, planned, version=1 if known is None else known.version + 1)

    def _accept(self, request: FaultRequest, planned: PlannedFault, *, version: int) -> None:
        now_us = self._clock()
        story = FaultStory.begin(planned, run_id=self._run_id, at_us=now_us, version=version)
        fault = OpenFault(story=story, fault=planned.fault, instances=planned.instances)
        self._casebook.begin(fault, request)
        scheduled = self._casebook.advance(fault, WHOLE, "scheduled", now_us)
        self._casebook.tell(fault, [story.whole, scheduled])
        self._carrier.apply_at(fault, planned.start_at_us)
        logger.info("fault %s accepted: %s on %s", fault.id, fault.fault.kind, ", ".join(fault.instances))

    def _stop(self, request: FaultRequest) -> None:
        fault = self._casebook.open.get(request.fault_id)
        if fault is not None and not fault.story.is_over:
            self._carrier.end(fault, STOPPED)
            return
        known = self._casebook.stories.get(request.fault_id)
        if known is not None and known.whole.reason == STOPPED:
            return  # the request that stopped it before it began, read again
        what = "is over already" if known is not None and known.is_accepted else "is not known"
        self._refuse(request, f"fault {request.fault_id[:80]!r} {what}, so there is nothing to stop")

    def _refuse(self, request: FaultRequest, reason: str) -> None:
        known = self._casebook.stories.get(request.fault_id)
        if known is not None and _is_told(request, known, reason):
            return
        event, story = rejection(_rejected(request, reason, self._run_id, self._clock()), known)
        self._casebook.set_story(story)
        self._casebook.tell_alone(event)
        logger.info("request for fault %s refused: %s", event.fault_id, reason)


def _is_same(request: FaultRequest, known: FaultStory, first: FaultRequest | None) -> bool:
    """Whether a request is the one that began a story, read again."""
    if first is not None:
        return request == first
    whole = known.whole
    told = (whole.kind, whole.service, whole.duration_us, whole.requested_at_us)
    return told == (request.kind, request.service, request.duration_us, request.requested_at_us)


def _is_told(request: FaultRequest, known: FaultStory, reason: str) -> bool:
    """Whether this very refusal is the newest event already: the request is read again."""
    whole = known.whole
    return (whole.state, whole.requested_at_us, whole.reason) == ("rejected", request.requested_at_us, reason)


def _rejected(request: FaultRequest, reason: str, run_id: str, at_us: int) -> FaultEvent:
    event = FaultEvent(
        run_id=run_id,
        fault_id=request.fault_id,
        version=1,
        kind=request.kind,
        service=request.service,
        instance=WHOLE,
        state="rejected",
        at_us=at_us,
        requested_at_us=request.requested_at_us,
        duration_us=request.duration_us,
        parameters=dict(request.parameters),
        reason=reason,
    )
    # An id that is too long was refused for it; the event must still have a key of decent size.
    return replace(event, fault_id=request.fault_id[:_LONGEST_ID])
