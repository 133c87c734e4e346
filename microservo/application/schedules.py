"""What can be asked for about schedules: faults that begin at a time, once or again and again."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import islice
from typing import Literal

from microservo.application.command import Command, Context
from microservo.application.given import duration_us, user_name
from microservo.application.when import When, recurrence_of
from microservo.domain.schedules import (
    Occurrence,
    Recurrence,
    check_schedule,
    check_schedule_id,
    describe_when,
    fault_id_of,
    next_occurrences,
)
from microservo.errors import InvalidInput
from microservo.log.reader import read_state
from microservo.platforms.platform import kinds_here, labels_of, services_of
from schemas.catalogue import FAULT_SCHEDULES, SCHEDULE_PROGRESS
from schemas.codec import SchemaError
from schemas.records import FaultSchedule, ScheduledFault, ScheduleProgress

ScheduleStanding = Literal["active", "paused", "over"]

GRACE = "30s"
MOST_PREVIEWED = 1000
"""Of one schedule: a fault every minute makes ten thousand a week."""
_DAY_US = 24 * 60 * 60 * 1_000_000
_FLUSH_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleStatus:
    """A schedule and where it stands.

    Attributes:
        schedule: as it is now.
        standing: active, paused, or over, where no fault is left to begin.
        when: in words.
        next_at_us: when the next fault begins; None if none does.
        requested: faults that were requested so far.
        skipped: faults that nobody was there to request in time.
        recent: the newest of both, the oldest of them first.
    """

    schedule: FaultSchedule
    standing: ScheduleStanding
    when: str
    next_at_us: int | None
    requested: int
    skipped: int
    recent: tuple[ScheduledFault, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewedFault:
    """A fault that is to begin.

    Attributes:
        fault_id: that it will have.
        schedule: whose it is.
        occurrence: when, with what a change of the clock does to it.
    """

    fault_id: str
    schedule: FaultSchedule
    occurrence: Occurrence


@dataclass(frozen=True, slots=True, kw_only=True)
class AddSchedule(Command[ScheduleStatus]):
    """Asks for a schedule.

    Attributes:
        kind: of fault, as of `RequestFault`; so are service, instances, mode, labels, parameters
            and duration.
        when: its faults begin.
        grace: how late a fault may begin where nobody could request it in time; later, it is skipped.
        schedule_id: identity; made up if not given.
    """

    kind: str
    service: str
    when: When
    instances: tuple[str, ...] = ()
    mode: str = "all"
    labels: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    duration: str | timedelta | None = None
    grace: str | timedelta = GRACE
    schedule_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListSchedules(Command[tuple[ScheduleStatus, ...]]):
    """Asks for all schedules, that whose fault begins next first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowSchedule(Command[ScheduleStatus]):
    """Asks for one schedule, by its identity."""

    schedule_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewSchedules(Command[tuple[PreviewedFault, ...]]):
    """Asks which faults are to begin from now on, in their order; a paused schedule has none.

    Attributes:
        schedule_id: of which schedule; of all if not given.
        days: how far to look.
    """

    schedule_id: str | None = None
    days: int = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class EditSchedule(Command[ScheduleStatus]):
    """Asks for changes of a schedule, which count from now on; what is None stays as it is."""

    schedule_id: str
    kind: str | None = None
    service: str | None = None
    instances: tuple[str, ...] | None = None
    mode: str | None = None
    labels: Mapping[str, str] | None = None
    parameters: Mapping[str, str] | None = None
    duration: str | timedelta | None = None
    grace: str | timedelta | None = None
    when: When | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseSchedule(Command[ScheduleStatus]):
    """Asks that no fault of a schedule begins until it is resumed."""

    schedule_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeSchedule(Command[ScheduleStatus]):
    """Asks that faults of a paused schedule begin again; what passed meanwhile stays undone."""

    schedule_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveSchedule(Command[None]):
    """Asks for the end of a schedule; faults that are in force stay so until their end."""

    schedule_id: str


def add_schedule(command: AddSchedule, context: Context) -> ScheduleStatus:
    """The schedule as it stands then.

    Raises:
        InvalidInput: its faults could not be carried out, or its id is taken; nothing was sent.
        Retryable: the broker is away for now.
    """
    now_us = context.clock()
    schedule_id = command.schedule_id or f"{command.kind[:24]}-{secrets.token_hex(4)}"
    check_schedule_id(schedule_id)
    if schedule_id in _schedules(context):
        msg = f"there is a schedule {schedule_id!r} already; `schedule edit` changes it, or take another id"
        raise InvalidInput(msg)
    schedule = FaultSchedule(
        schedule_id=schedule_id,
        version=1,
        state="active",
        kind=command.kind,
        service=command.service,
        instances=command.instances,
        mode=command.mode,
        labels=dict(command.labels),
        parameters=dict(command.parameters),
        duration_us=duration_us(command.duration),
        grace_us=duration_us(command.grace),
        valid_from_us=now_us,
        created_at_us=now_us,
        requested_by=user_name(),
    )
    return _put(_with_recurrence(schedule, recurrence_of(command.when, now_us)), context)


def list_schedules(_command: ListSchedules, context: Context) -> tuple[ScheduleStatus, ...]:
    """The schedules.

    Raises:
        Retryable: the broker is away for now.
    """
    connection = context.connection
    progress = read_state(connection.broker, connection.topic(SCHEDULE_PROGRESS), ScheduleProgress)
    now_us = context.clock()
    found = [_status(each, progress.get(name), now_us) for name, each in _schedules(context).items()]
    return tuple(sorted(found, key=_next_first))


def show_schedule(command: ShowSchedule, context: Context) -> ScheduleStatus:
    """The schedule.

    Raises:
        InvalidInput: there is none of this identity.
    """
    return _known(command.schedule_id, list_schedules(ListSchedules(), context))


def preview_schedules(command: PreviewSchedules, context: Context) -> tuple[PreviewedFault, ...]:
    """The faults, at most the next thousand of each schedule.

    Raises:
        InvalidInput: there is no schedule of this identity.
    """
    known = list_schedules(ListSchedules(), context)
    chosen = known if command.schedule_id is None else (_known(command.schedule_id, known),)
    now_us = context.clock()
    until_us = now_us + command.days * _DAY_US
    found = [
        PreviewedFault(
            fault_id=fault_id_of(each.schedule.schedule_id, occurrence.at_us),
            schedule=each.schedule,
            occurrence=occurrence,
        )
        for each in chosen
        if each.standing == "active"
        for occurrence in islice(next_occurrences(each.schedule, now_us, until_us), MOST_PREVIEWED)
    ]
    return tuple(sorted(found, key=lambda each: (each.occurrence.at_us, each.fault_id)))


def edit_schedule(command: EditSchedule, context: Context) -> ScheduleStatus:
    """The schedule as it stands then.

    Raises:
        InvalidInput: there is none of this identity, or its faults could not be carried out; nothing was
            sent.
    """
    known = show_schedule(ShowSchedule(schedule_id=command.schedule_id), context).schedule
    now_us = context.clock()
    given = {
        "kind": command.kind,
        "service": command.service,
        "instances": command.instances,
        "mode": command.mode,
        "labels": None if command.labels is None else dict(command.labels),
        "parameters": None if command.parameters is None else dict(command.parameters),
        "duration_us": None if command.duration is None else duration_us(command.duration),
        "grace_us": None if command.grace is None else duration_us(command.grace),
    }
    changes = {name: value for name, value in given.items() if value is not None}
    edited = replace(_next_version(known, now_us), **changes)  # type: ignore[arg-type]  # each fits its field
    if command.when is not None:
        edited = _with_recurrence(edited, recurrence_of(command.when, now_us, known.time_zone))
    return _put(edited, context)


def pause_schedule(command: PauseSchedule, context: Context) -> ScheduleStatus:
    """The schedule as it stands then; raises as `resume_schedule`."""
    known = show_schedule(ShowSchedule(schedule_id=command.schedule_id), context)
    if known.standing != "active":
        raise InvalidInput(_useless(known, "pause"))
    return _send(replace(_next_version(known.schedule, context.clock()), state="paused"), context)


def resume_schedule(command: ResumeSchedule, context: Context) -> ScheduleStatus:
    """The schedule as it stands then.

    Raises:
        InvalidInput: there is none of this identity, or nothing would change; nothing was sent.
    """
    known = show_schedule(ShowSchedule(schedule_id=command.schedule_id), context)
    if known.schedule.state != "paused":
        raise InvalidInput(_useless(known, "resume"))
    return _put(replace(_next_version(known.schedule, context.clock()), state="active"), context)


def remove_schedule(command: RemoveSchedule, context: Context) -> None:
    """Returns once the removal is durable.

    Raises:
        InvalidInput: there is none of this identity.
    """
    from microservo.log.publisher import Publisher  # noqa: PLC0415  # loads NumPy, which most acts don't need

    known = show_schedule(ShowSchedule(schedule_id=command.schedule_id), context)
    connection = context.connection
    with connection.broker.producer(linger_ms=0) as producer:
        publisher = Publisher(producer, "client", prefix=connection.topic_prefix, clock=context.clock)
        publisher.delete(FaultSchedule, known.schedule.schedule_id)
        publisher.flush(_FLUSH_S)


def _schedules(context: Context) -> dict[str, FaultSchedule]:
    connection = context.connection
    return read_state(connection.broker, connection.topic(FAULT_SCHEDULES), FaultSchedule)


def _with_recurrence(schedule: FaultSchedule, recurrence: Recurrence) -> FaultSchedule:
    return replace(schedule, at_us=recurrence.at_us, cron=recurrence.cron, time_zone=recurrence.time_zone)


def _next_version(known: FaultSchedule, now_us: int) -> FaultSchedule:
    return replace(known, version=known.version + 1, valid_from_us=now_us)


def _put(schedule: FaultSchedule, context: Context) -> ScheduleStatus:
    """Checks a schedule, by the target where one runs here, and sends it."""
    platform = context.connection.platform()
    if platform is None:
        check_schedule(schedule)
    else:
        labels = labels_of(platform.instances())
        check_schedule(schedule, services_of(platform), kinds_here(platform), labels=labels)
    return _send(schedule, context)


def _send(schedule: FaultSchedule, context: Context) -> ScheduleStatus:
    from microservo.log.publisher import Publisher  # noqa: PLC0415  # loads NumPy, which most acts don't need

    connection = context.connection
    with connection.broker.producer(linger_ms=0) as producer:
        publisher = Publisher(producer, "client", prefix=connection.topic_prefix, clock=context.clock)
        try:
            publisher.publish(schedule)
        except SchemaError as error:  # a name that is no text, say
            msg = f"the schedule can't be sent: {error}"
            raise InvalidInput(msg) from error
        publisher.flush(_FLUSH_S)
    return show_schedule(ShowSchedule(schedule_id=schedule.schedule_id), context)


def _status(schedule: FaultSchedule, progress: ScheduleProgress | None, now_us: int) -> ScheduleStatus:
    following = next(_left(schedule, progress, now_us), None)
    standing: ScheduleStanding = schedule.state if following is not None else "over"
    return ScheduleStatus(
        schedule=schedule,
        standing=standing,
        when=describe_when(schedule),
        next_at_us=following.at_us if following is not None and standing == "active" else None,
        requested=0 if progress is None else progress.requested,
        skipped=0 if progress is None else progress.skipped,
        recent=() if progress is None else progress.recent,
    )


def _left(schedule: FaultSchedule, progress: ScheduleProgress | None, now_us: int) -> Iterator[Occurrence]:
    """What was not dealt with yet and still can be: one that is due may be a little late."""
    handled_us = 0 if progress is None else progress.handled_until_us
    return next_occurrences(schedule, max(handled_us + 1, now_us - schedule.grace_us))


def _known(schedule_id: str, known: tuple[ScheduleStatus, ...]) -> ScheduleStatus:
    for each in known:
        if each.schedule.schedule_id == schedule_id:
            return each
    names = ", ".join(each.schedule.schedule_id for each in known[:5]) or "none yet"
    msg = f"there is no schedule {schedule_id[:80]!r}; there are: {names}"
    raise InvalidInput(msg)


def _useless(known: ScheduleStatus, change: str) -> str:
    return f"schedule {known.schedule.schedule_id} is {known.standing}, so there is nothing to {change}"


def _next_first(status: ScheduleStatus) -> tuple[bool, int, str]:
    return status.next_at_us is None, status.next_at_us or 0, status.schedule.schedule_id
