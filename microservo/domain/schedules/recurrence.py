"""When something is to happen: once, or as a cron expression says in a time zone.

Instants are UTC; a cron expression is kept with its zone, for no instant could say "at half past two there".
Where the clock of a zone changes, Debian's cron is the model:

- A time of day that doesn't exist, for the clock goes forward over it, is the first minute that does.
- A time of day that comes twice, for the clock goes back, counts the first time.
- An expression whose hour or minute begins with a star counts real time: nothing is moved or left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from microservo.errors import InvalidInput

SECOND_US = 1_000_000
_DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_FIELDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurrence:
    """When: at one instant in epoch microseconds, or by a cron expression in a time zone."""

    at_us: int | None = None
    cron: str = ""
    time_zone: str = "UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """One time.

    Attributes:
        at_us: epoch microseconds UTC, at a whole second.
        local: the same in the zone, with its distance from UTC.
        note: what a change of the clock does to it; empty as a rule.
    """

    at_us: int
    local: datetime
    note: str = ""


def once(at_us: int, time_zone: str = "UTC") -> Recurrence:
    """At one instant, put off to the next whole second.

    Example:
        >>> once(1_500_000).at_us
        2000000
    """
    zone_named(time_zone)
    return Recurrence(at_us=-(-at_us // SECOND_US) * SECOND_US, time_zone=time_zone)


def daily(time_of_day: str, time_zone: str = "UTC") -> Recurrence:
    """Every day at a time such as "02:30".

    Example:
        >>> daily("02:30", "Europe/Berlin").cron
        '30 2 * * *'
    """
    hour, minute = _time_of_day(time_of_day)
    return cron(f"{minute} {hour} * * *", time_zone)


def weekly(day_and_time: str, time_zone: str = "UTC") -> Recurrence:
    """Every week at a day and time such as "mon 02:30", or on several days as in "mon,thu 02:30".

    Example:
        >>> weekly("mon,thu 02:30").cron
        '30 2 * * MON,THU'
    """
    days, _, time_of_day = day_and_time.strip().partition(" ")
    names = [name.strip().upper()[:3] for name in days.split(",")]
    if not time_of_day or not set(names) <= set(_DAYS):
        msg = f"{day_and_time[:80]!r} is no day and time of a week; write, for example, 'mon 02:30'"
        raise InvalidInput(msg)
    hour, minute = _time_of_day(time_of_day)
    return cron(f"{minute} {hour} * * {','.join(names)}", time_zone)


def cron(expression: str, time_zone: str = "UTC") -> Recurrence:
    """As a cron expression of five fields says: minute, hour, day of the month, month, day of the week.

    Raises:
        InvalidInput: it is none, it never comes true, or there is no such zone.

    Example:
        >>> cron("*/15  8-17 * * MON-FRI").cron
        '*/15 8-17 * * MON-FRI'
    """
    fields = expression.upper().split()
    recurrence = Recurrence(cron=" ".join(fields), time_zone=time_zone)
    if len(fields) != _FIELDS:
        msg = (
            f"{expression[:80]!r} has {len(fields)} fields; a cron expression has five: minute, hour, day of "
            "the month, month, day of the week, for example '30 2 * * MON'"
        )
        raise InvalidInput(msg)
    if next(occurrences(recurrence, 0), None) is None:
        msg = f"cron expression {expression[:80]!r} names a day that never comes; take one that there is"
        raise InvalidInput(msg)
    return recurrence


def occurrences(recurrence: Recurrence, after_us: int) -> Iterator[Occurrence]:
    """All times after an instant, in their order; endless for most cron expressions.

    Args:
        recurrence: when.
        after_us: epoch microseconds UTC.

    Raises:
        InvalidInput: the cron expression is none, or there is no such zone.

    Example:
        >>> first = next(occurrences(daily("02:30", "Europe/Berlin"), 0))
        >>> first.local.isoformat()
        '1970-01-01T02:30:00+01:00'
    """
    zone = zone_named(recurrence.time_zone)
    if recurrence.at_us is not None:
        if recurrence.at_us > after_us:
            yield Occurrence(at_us=recurrence.at_us, local=_instant(recurrence.at_us).astimezone(zone))
        return
    # The library takes no account of which of two equal hours it begins in; so it begins before them, and
    # what it says of the time before is passed over.
    begin = _instant(after_us).astimezone(zone) - timedelta(hours=3)
    expression = _parsed(recurrence.cron, begin)
    known_us = after_us
    before: datetime | None = None
    for local in expression:
        at_us = round(local.timestamp()) * SECOND_US
        if at_us > known_us:
            yield Occurrence(at_us=at_us, local=_fixed(local), note=_note(local, before, expression))
            known_us = at_us
        before = local


def zone_named(name: str) -> ZoneInfo:
    """The zone of an IANA name such as Europe/Berlin; otherwise `InvalidInput`."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError) as error:
        msg = f"there is no time zone {name[:80]!r}; take an IANA name such as UTC or Europe/Berlin"
        raise InvalidInput(msg) from error


def _parsed(expression: str, begin: datetime) -> CronSim:
    try:
        return CronSim(expression, begin)
    except CronSimError as error:
        msg = (
            f"cron expression {expression[:80]!r} can't be read: {str(error).lower()}; "
            "an example is '30 2 * * MON'"
        )
        raise InvalidInput(msg) from error


def _note(local: datetime, before: datetime | None, expression: CronSim) -> str:
    """What a change of the clock does to a time."""
    if local.hour not in expression.hours or local.minute not in expression.minutes:
        return f"the clock goes forward over its time of day, so it begins at {local:%H:%M}"
    if local.replace(fold=1).utcoffset() != local.replace(fold=0).utcoffset():
        which = "second" if local.fold else "first"
        return f"the clock goes back and {local:%H:%M} comes twice; this is the {which}"
    if before is not None and before.utcoffset() != local.utcoffset():
        return f"the clock has changed from {_distance(before)} to {_distance(local)}"
    return ""


def _distance(local: datetime) -> str:
    """From UTC, for example +01:00."""
    return local.isoformat()[-len("+01:00") :]


def _fixed(local: datetime) -> datetime:
    """The same instant with the same distance from UTC, which arithmetic doesn't change."""
    return local.replace(tzinfo=timezone(local.utcoffset() or timedelta()), fold=0)


def _instant(at_us: int) -> datetime:
    return datetime.fromtimestamp(at_us // SECOND_US, UTC)


def _time_of_day(text: str) -> tuple[int, int]:
    try:
        found = datetime.strptime(text.strip(), "%H:%M").replace(tzinfo=UTC)
    except ValueError as error:
        msg = f"{text[:80]!r} is no time of day; write hours and minutes, for example 02:30"
        raise InvalidInput(msg) from error
    return found.hour, found.minute
