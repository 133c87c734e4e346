"""After a restart: what earlier processes told is read back, and what they left unfinished is taken up."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from microservo.adapters.broker import Message
from microservo.domain.effects import GIVE_UP_US
from microservo.domain.faults.catalogue import LATEST_START_US
from microservo.domain.faults.lifecycle import WHOLE, AffectedService, FaultStory, fold
from microservo.errors import InvalidInput
from schemas.codec import SchemaError, decode_as
from schemas.records import FaultEvent, FaultRequest, ServiceFault
from services.fault_injector.carrier import Carrier
from services.fault_injector.casebook import Casebook
from services.fault_injector.open_fault import OpenFault
from services.fault_injector.verdicts import Verdicts

logger = logging.getLogger(__name__)

RecordT = TypeVar("RecordT")

_NO_REQUEST = "the injector restarted and found no request for it"
_MISSED = "its start passed while no injector was running"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the service faults on the log say of one fault: whom it concerns, and the version reached."""

    version: int
    affected: tuple[AffectedService, ...]


def stories_told(messages: Iterable[Message]) -> dict[str, FaultStory]:
    """The stories that the messages of `fault-events` tell."""
    return fold(event for message in messages if (event := _decoded(FaultEvent, message)))


def first_requests(messages: Iterable[Message]) -> dict[str, FaultRequest]:
    """The request to inject by which each id was first named, from the messages of `fault-requests`."""
    requests: dict[str, FaultRequest] = {}
    for message in messages:
        request = _decoded(FaultRequest, message)
        if request is not None and request.action == "inject":
            requests.setdefault(request.fault_id, request)
    return requests


def services_told(messages: Iterable[Message]) -> dict[str, Told]:
    """What the messages of `service-faults` say, by fault id."""
    told: dict[str, Told] = {}
    for message in messages:
        fault = _decoded(ServiceFault, message)
        if fault is None:
            continue
        before = told.get(fault.fault_id, Told(version=0, affected=()))
        affected = AffectedService(service=fault.service, role=fault.role, hops=fault.hops)
        told[fault.fault_id] = Told(
            version=max(before.version, fault.version),
            affected=tuple(dict.fromkeys((*before.affected, affected))),
        )
    return told


def is_unfinished(story: FaultStory, now_us: int) -> bool:
    """Whether there is still something to do: it is not over, or was not judged and still can be."""
    if not story.is_accepted:
        return False
    times = story.times()
    applied_us, recovered_us = times["applied_at_us"], times["recovered_at_us"]
    if not story.is_over:
        return True
    if applied_us is None or recovered_us is None:
        return False
    lacks_normal = story.verdict() == "confirmed" and times["normal_at_us"] is None
    return story.verdict() == "pending" or (lacks_normal and now_us < recovered_us + GIVE_UP_US)


def reopened(
    story: FaultStory,
    request: FaultRequest | None,
    told: Told | None,
    instances: Mapping[str, tuple[str, ...]],
) -> OpenFault | None:
    """A fault taken in hand again; None when this version of the catalogue doesn't know it any more.

    A fault that was not applied yet, and was meant for all instances, is meant for those in `instances`.
    """
    meant = request.instances if request is not None and request.instances else ()
    if not meant and not story.instances:
        meant = instances.get(story.whole.service, ())
    # A version may have been told to the services just before the crash, and its event lost.
    story = story if told is None else story.from_version(told.version)
    try:
        return OpenFault.from_story(
            story, instances=() if story.instances else meant, affected=() if told is None else told.affected
        )
    except InvalidInput as error:
        logger.warning("fault %s can't be taken up: %s", story.whole.fault_id, error)
        return None


class Resumption:
    """Takes up faults where an earlier process left them."""

    def __init__(
        self, *, casebook: Casebook, carrier: Carrier, verdicts: Verdicts, clock: Callable[[], int]
    ) -> None:
        self._casebook = casebook
        self._carrier = carrier
        self._verdicts = verdicts
        self._clock = clock

    def take_up(self, fault: OpenFault) -> None:
        """Goes on with a fault, by the state that it is in."""
        logger.info("fault %s is taken up again", fault.id)
        self._casebook.open[fault.id] = fault
        self._casebook.set_story(fault.story)
        if fault.story.instances:
            self._carrier.fix_affected(fault)
        else:
            self._take_up_scheduled(fault)
        self._verdicts.watch(fault)
        for instance in fault.story.instances:
            self._take_up_instance(fault, instance)
        if fault.story.is_over and fault.id in self._casebook.open:
            self._verdicts.over(fault)

    def _take_up_scheduled(self, fault: OpenFault) -> None:
        if fault.story.whole.state == "requested":
            event = self._casebook.advance(fault, WHOLE, "scheduled", self._clock())
            self._casebook.tell(fault, [event])
        request = self._casebook.requests.get(fault.id)
        if request is None or not fault.instances:
            self._carrier.end(fault, _NO_REQUEST)
            return
        start_us = request.requested_at_us if request.start_at_us is None else request.start_at_us
        if self._clock() > start_us + LATEST_START_US:
            self._carrier.end(fault, _MISSED)
        else:
            self._carrier.apply_at(fault, start_us)

    def _take_up_instance(self, fault: OpenFault, instance: str) -> None:
        state = fault.story.state(instance)
        if state == "applying":
            self._carrier.check(fault, instance)
        elif state == "active":
            self._carrier.expect_end(fault, instance)
            if not fault.fault.one_shot:
                # Also lets the mechanism know what it should be holding, so that it can let go of it.
                self._carrier.check(fault, instance)
        elif state == "recovering":
            self._carrier.submit_recovery(fault, instance)


def _decoded(record_type: type[RecordT], message: Message) -> RecordT | None:
    """The record of a message; None for heartbeats, and for what can't be read, which is logged."""
    if message.value is None:
        return None
    try:
        return decode_as(record_type, message.value)
    except SchemaError as error:
        logger.warning("%s[%d] %d: %s", message.topic, message.partition, message.offset, error)
        return None
