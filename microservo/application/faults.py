"""What can be asked for about faults."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from microservo.application.catalogue_lists import from_catalogue
from microservo.application.command import Command, Context
from microservo.application.following import FollowedFault
from microservo.application.given import duration_us, instant_us, user_name
from microservo.application.runs import running_run
from microservo.domain.faults.catalogue import KindInfo, check_id, describe, kind_named, parse_request
from microservo.domain.faults.declared import Declaration, check_end, parse_declaration
from microservo.domain.faults.lifecycle import LAST_STATES
from microservo.errors import InvalidInput, Unavailable
from microservo.log.faults import all_latest_events, latest_events
from microservo.platforms.platform import Platform, kinds_here, labels_of, services_of
from schemas.catalogue import FAULT_EVENTS, FAULTS
from schemas.codec import SchemaError
from schemas.records import Experiment, FaultEvent, FaultRequest, FaultState

_FLUSH_S = 30.0
_KIND_IN_ID = 48
"""So much of a kind's name goes into an id that is made up: an id has 64 characters at the most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedFault:
    """A request that is durable; the fault is not in force yet.

    Attributes:
        note: what to know of it besides; empty as a rule.
    """

    fault_id: str
    requested_at_us: int
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFault(Command[RequestedFault]):
    """Asks for a fault.

    Attributes:
        kind: one of `ListKinds`.
        service: the target; every instance of it unless `instances` names some.
        instances: ids of the instances to hit.
        mode: how many of these to hit: all, one, a number like "2", or a percentage like "50%"; which of
            them, the id of the fault decides.
        labels: those that an instance must have to be hit.
        parameters: of the kind, as people write them, for example {"latency": "300ms"}.
        duration: how long, for example "20s"; not needed for a kind that acts once.
        start_at: when to begin, with a time zone; now if not given.
        fault_id: identity; made up if not given.
    """

    kind: str
    service: str
    instances: tuple[str, ...] = ()
    mode: str = "all"
    labels: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    duration: str | timedelta | None = None
    start_at: datetime | None = None
    fault_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclareFault(Command[RequestedFault]):
    """Says that others have made a fault, so that it is labelled and measured like those injected here.

    Attributes:
        kind: any name that is none of `ListKinds`, for example "deploy".
        service: where; it need not be one of the target's.
        instances: those that it was in force on, where that is known.
        start_at: since when, with a time zone; now if not given.
        end_at: until when; not given, it is in force until `StopFault`.
        within: how exactly the instants are known, for example "500ms".
        severity: from 0 (nothing) to 1 (total); 0.5 if not given.
        declared_by: who says so; the user of this process if not given.
        fault_id: identity; made up if not given.
    """

    kind: str
    service: str
    instances: tuple[str, ...] = ()
    start_at: datetime | None = None
    end_at: datetime | None = None
    within: str | timedelta | None = None
    severity: float | None = None
    declared_by: str | None = None
    fault_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StopFault(Command[None]):
    """Asks to end a fault before its time, or says that a declared one has ended.

    Attributes:
        at: when a declared fault ended, with a time zone; now if not given.
    """

    fault_id: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ForceFault(Command[tuple[str, ...]]):
    """Asks to give up the recovery of a fault that is stuck; it may stay in force."""

    fault_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListFaults(Command[tuple[FaultEvent, ...]]):
    """Asks for the newest event of each fault and instance, in order of the requests.

    Attributes:
        history: also of faults that were over so long ago that their states are no longer kept; takes as
            long as the history is where no catalogue has it.
        fault_id: of this fault alone, however long it is over.
    """

    history: bool = False
    fault_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowFault(Command[FollowedFault]):
    """Asks for the events of a fault as they come.

    Attributes:
        requested_at_us: as in `RequestedFault`; 0 if it is not known.
    """

    fault_id: str
    requested_at_us: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitForFault(Command[FaultEvent]):
    """Waits until a fault has reached a state on each of its instances."""

    fault_id: str
    state: FaultState
    timeout_s: float
    requested_at_us: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ListKinds(Command[tuple[KindInfo, ...]]):
    """Asks for every kind of fault and whether the running target can carry it, or for the one of a name."""

    name: str | None = None


def request_fault(command: RequestFault, context: Context) -> RequestedFault:
    """Sends the request.

    Raises:
        InvalidInput: it can't be carried out; nothing was sent.
    """
    request = FaultRequest(
        fault_id=command.fault_id or f"{command.kind}-{secrets.token_hex(4)}",
        action="inject",
        requested_at_us=context.clock(),
        kind=command.kind,
        service=command.service,
        instances=command.instances,
        mode=command.mode,
        labels=dict(command.labels),
        parameters=dict(command.parameters),
        duration_us=duration_us(command.duration),
        start_at_us=None if command.start_at is None else instant_us(command.start_at),
        requested_by=user_name(),
    )
    platform = context.connection.platform()
    if platform is None:
        parse_request(request)  # the rest is for the injector to judge, which knows the target
    else:
        labels = labels_of(platform.instances())
        parse_request(request, services_of(platform), kinds_here(platform), labels=labels)
    return _send(request, context)


def declare_fault(command: DeclareFault, context: Context) -> RequestedFault:
    """Sends the declaration.

    Raises:
        InvalidInput: it can't be; nothing was sent.
    """
    now_us = context.clock()
    request = FaultRequest(
        fault_id=command.fault_id or f"{command.kind[:_KIND_IN_ID]}-{secrets.token_hex(4)}",
        action="declare",
        requested_at_us=now_us,
        kind=command.kind,
        service=command.service,
        instances=command.instances,
        start_at_us=now_us if command.start_at is None else instant_us(command.start_at),
        end_at_us=None if command.end_at is None else instant_us(command.end_at),
        within_us=None if command.within is None else duration_us(command.within),
        severity=command.severity,
        requested_by=user_name() if command.declared_by is None else command.declared_by,
    )
    run = running_run(context)
    declared = parse_declaration(request, run_from_us=0 if run is None else run.started_at_us, now_us=now_us)
    return replace(_send(request, context), note=_late_note(declared, run, now_us))


def stop_fault(command: StopFault, context: Context) -> None:
    """Sends the request to stop.

    Raises:
        InvalidInput: there is no such fault, it is over, or that can't be its end.
    """
    check_id(command.fault_id)
    events = [event for event in list_faults(ListFaults(), context) if event.fault_id == command.fault_id]
    if not events:
        msg = f"there is no fault {command.fault_id!r}; `microservo fault list` shows those that are"
        raise InvalidInput(msg)
    if all(event.state in LAST_STATES for event in events):
        msg = f"fault {command.fault_id!r} is over: {events[0].state}; there is nothing to stop"
        raise InvalidInput(msg)
    now_us = context.clock()
    end_us = None if command.at is None else instant_us(command.at)
    if events[0].origin == "declared":
        check_end(now_us if end_us is None else end_us, events[0].applied_at_us or 0, now_us)
    elif end_us is not None:
        msg = f"the end of {command.fault_id!r} is measured, for it was injected; stop it without saying when"
        raise InvalidInput(msg)
    request = FaultRequest(
        fault_id=command.fault_id,
        action="stop",
        requested_at_us=now_us,
        requested_by=user_name(),
        end_at_us=end_us,
    )
    _send(request, context)


def force_fault(command: ForceFault, context: Context) -> tuple[str, ...]:
    """Gives up what is stuck, past the injector, which finds it over then; the instances that it was on.

    Raises:
        InvalidInput: nothing of the fault is stuck.
        Unavailable: no target runs.
    """
    check_id(command.fault_id)
    events = [
        event
        for event in list_faults(ListFaults(), context)
        if event.fault_id == command.fault_id and event.state == "recovering"
    ]
    if not events:
        msg = f"no recovery of {command.fault_id!r} is under way; `microservo fault list` shows the states"
        raise InvalidInput(msg)
    platform = context.connection.platform()
    if platform is None:
        msg = "no target runs here, so there is nothing to give up; name its system with --system"
        raise Unavailable(msg)
    for event in events:
        platform.force(event.instance, event.fault_id, event.kind)
    return tuple(event.instance for event in events)


def list_faults(command: ListFaults, context: Context) -> tuple[FaultEvent, ...]:
    """The newest events, by the catalogue where that is there, up to date and quicker, else by the topics."""
    connection, fault_id = context.connection, command.fault_id
    history = command.history or fault_id is not None
    found = from_catalogue(
        connection,
        (FAULT_EVENTS if history else FAULTS,),
        lambda catalogue: catalogue.faults(history=history, fault_id=fault_id),
    )
    if found is not None:
        return tuple(found)
    if history:
        events = all_latest_events(connection.broker, connection.topic(FAULT_EVENTS))
        return tuple(event for event in events if fault_id in (None, event.fault_id))
    return tuple(latest_events(connection.broker, connection.topic(FAULTS)))


def follow_fault(command: FollowFault, context: Context) -> FollowedFault:
    """The events so far and those to come."""
    check_id(command.fault_id)
    connection = context.connection
    return FollowedFault(
        connection.broker,
        connection.topic(FAULT_EVENTS),
        command.fault_id,
        known=lambda: list_faults(ListFaults(), context),
        requested_at_us=command.requested_at_us,
    )


def wait_for_fault(command: WaitForFault, context: Context) -> FaultEvent:
    """The event with which the last instance reached the state; raises as `FollowedFault.wait_for`."""
    following = FollowFault(fault_id=command.fault_id, requested_at_us=command.requested_at_us)
    with follow_fault(following, context) as fault:
        return fault.wait_for(command.state, command.timeout_s)


def list_kinds(command: ListKinds, context: Context) -> tuple[KindInfo, ...]:
    """The kinds, in the order of the catalogue.

    Raises:
        InvalidInput: there is no kind of the name; the message has the nearest.
    """
    if command.name is not None:
        kind_named(command.name)
    platform = _running_platform(context)
    carried = None if platform is None else kinds_here(platform)
    return tuple(kind for kind in describe(carried) if command.name in (None, kind.name))


def _late_note(declared: Declaration, run: Experiment | None, now_us: int) -> str:
    if run is None or now_us - declared.start_at_us <= run.window_us + run.final_cut_us:
        return ""
    return (
        f"it began {(now_us - declared.start_at_us) / 1e6:.0f} s ago: windows that were final by now are "
        "labelled with it in later revisions, but only as long as they are kept; faults.parquet has it"
    )


def _running_platform(context: Context) -> Platform | None:
    try:
        return context.connection.platform()
    except Unavailable:
        return None


def _send(draft: FaultRequest, context: Context) -> RequestedFault:
    from microservo.log.publisher import Publisher  # noqa: PLC0415  # loads NumPy, which most acts don't need

    connection = context.connection
    with connection.broker.producer(linger_ms=0) as producer:
        # Finding the broker took a while; what a fault's times count from is the sending.
        request = replace(draft, requested_at_us=context.clock())
        publisher = Publisher(producer, "client", prefix=connection.topic_prefix, clock=context.clock)
        try:
            publisher.publish(request)
        except SchemaError as error:  # a name that is no text, say
            msg = f"the request can't be sent: {error}"
            raise InvalidInput(msg) from error
        publisher.flush(_FLUSH_S)
    return RequestedFault(fault_id=request.fault_id, requested_at_us=request.requested_at_us)
