"""A schedule, its faults and their ids."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import takewhile

from microservo.domain.faults.catalogue import LATEST_START_US, parse_request
from microservo.domain.faults.targets import Labels
from microservo.domain.faults.units import format_duration
from microservo.domain.schedules.recurrence import (
    SECOND_US,
    Occurrence,
    Recurrence,
    cron,
    occurrences,
    zone_named,
)
from microservo.errors import InvalidInput
from schemas.records import FaultRequest, FaultSchedule

MOST_GRACE_US = LATEST_START_US - 10 * SECOND_US
"""The injector refuses what lies further back, and reads a request only after a moment."""
LEAD_US = SECOND_US
"""How long before it begins a fault is requested, so that it begins on time."""

_NO_LABELS: Mapping[str, Labels] = {}
_ID = re.compile(r"[A-Za-z0-9_-]{1,40}", re.ASCII)
_DAILY = re.compile(r"(?P<minute>\d+) (?P<hour>\d+) \* \* (?P<days>\*|[A-Z,]+)", re.ASCII)


def check_schedule_id(schedule_id: str) -> None:
    """Refuses what can't be the id of a schedule (`InvalidInput`)."""
    if not _ID.fullmatch(schedule_id):
        msg = f"{schedule_id[:80]!r} can't be a schedule's id; take 1 to 40 letters, digits, '-' and '_'"
        raise InvalidInput(msg)


def check_schedule(
    schedule: FaultSchedule,
    known_services: Mapping[str, Sequence[str]] | None = None,
    carried: Collection[str] | None = None,
    *,
    labels: Mapping[str, Labels] = _NO_LABELS,
) -> None:
    """Refuses a schedule whose faults could not be carried out.

    Args:
        schedule: to be added or changed.
        known_services: as of `parse_request`.
        carried: likewise.
        labels: likewise.

    Raises:
        InvalidInput: that, or there is no time at which one would begin.
    """
    check_schedule_id(schedule.schedule_id)
    if not 0 <= schedule.grace_us <= MOST_GRACE_US:
        msg = (
            f"{format_duration(schedule.grace_us)} is no time that a fault may be late; give "
            f"{format_duration(MOST_GRACE_US)} at the most, for later than that the injector refuses it"
        )
        raise InvalidInput(msg)
    zone_named(schedule.time_zone)
    if schedule.at_us is None:
        cron(schedule.cron, schedule.time_zone)
    first = next(next_occurrences(schedule, schedule.valid_from_us), None)
    if first is None:
        at = datetime.fromtimestamp((schedule.at_us or 0) / 1e6, UTC)
        msg = f"{at:%Y-%m-%d %H:%M:%SZ} lies in the past, so nothing would begin; give a later time"
        raise InvalidInput(msg)
    parse_request(request_of(schedule, first.at_us), known_services, carried, labels=labels)


def next_occurrences(
    schedule: FaultSchedule, from_us: int, until_us: int | None = None
) -> Iterator[Occurrence]:
    """When faults of a schedule begin from an instant on, and until another one if given.

    None of them was before the schedule became what it is; whether it is paused is not looked at.
    """
    found = occurrences(_recurrence(schedule), max(from_us, schedule.valid_from_us) - 1)
    return found if until_us is None else takewhile(lambda each: each.at_us <= until_us, found)


def fault_id_of(schedule_id: str, at_us: int) -> str:
    """The id of the fault that begins then.

    Example:
        >>> fault_id_of("nightly", 1_769_909_400_000_000)
        'nightly-20260201T013000Z'
    """
    return f"{schedule_id}-{datetime.fromtimestamp(at_us // SECOND_US, UTC):%Y%m%dT%H%M%SZ}"


def request_of(schedule: FaultSchedule, at_us: int) -> FaultRequest:
    """The request of the fault that begins then; made again, it is the same to the last byte."""
    return FaultRequest(
        fault_id=fault_id_of(schedule.schedule_id, at_us),
        action="inject",
        kind=schedule.kind,
        service=schedule.service,
        instances=schedule.instances,
        mode=schedule.mode,
        labels=dict(schedule.labels),
        parameters=dict(schedule.parameters),
        duration_us=schedule.duration_us,
        start_at_us=at_us,
        requested_at_us=max(at_us - LEAD_US, schedule.valid_from_us),
        requested_by=f"schedule {schedule.schedule_id}",
    )


def describe_when(schedule: FaultSchedule) -> str:
    """When its faults begin, for people.

    Example:
        >>> from schemas.records import FaultSchedule
        >>> describe_when(FaultSchedule(
        ...     schedule_id="s", version=1, state="active", kind="noop", service="a", duration_us=1,
        ...     grace_us=0, valid_from_us=0, created_at_us=0, cron="5 14 * * *", time_zone="Asia/Tokyo"))
        'daily at 14:05, Asia/Tokyo'
    """
    if schedule.at_us is not None:
        return f"once at {datetime.fromtimestamp(schedule.at_us / 1e6, UTC):%Y-%m-%d %H:%M:%SZ}"
    match = _DAILY.fullmatch(schedule.cron)
    if match is None:
        return f"cron {schedule.cron}, {schedule.time_zone}"
    time_of_day = f"{int(match['hour']):02}:{int(match['minute']):02}"
    if match["days"] == "*":
        return f"daily at {time_of_day}, {schedule.time_zone}"
    return f"weekly on {match['days'].lower()} at {time_of_day}, {schedule.time_zone}"


def _recurrence(schedule: FaultSchedule) -> Recurrence:
    return Recurrence(at_us=schedule.at_us, cron=schedule.cron, time_zone=schedule.time_zone)
