"""The ways of saying when faults of a schedule begin."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from microservo.application.given import instant_us
from microservo.domain.schedules import Recurrence, cron, daily, once, weekly
from microservo.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """When faults begin: one of these is given, or none, which is now.

    Attributes:
        at: one instant, with a time zone.
        daily: a time of day, for example "02:30".
        weekly: days and a time, for example "mon,thu 02:30".
        cron: minute, hour, day of the month, month, day of the week.
        time_zone: that all but `at` are meant in, for example "Europe/Berlin"; None is that of the schedule
            which is changed, and UTC for a new one.
    """

    at: datetime | None = None
    daily: str = ""
    weekly: str = ""
    cron: str = ""
    time_zone: str | None = None


def recurrence_of(when: When, now_us: int, known_zone: str = "UTC") -> Recurrence:
    """What is meant by the one way of saying it that was used.

    Args:
        when: what was said.
        now_us: epoch microseconds UTC.
        known_zone: the time zone where none is given.

    Raises:
        InvalidInput: several were used, or what was said is no time.
    """
    zone = known_zone if when.time_zone is None else when.time_zone
    ways: list[Recurrence] = []
    if when.at is not None:
        ways.append(once(instant_us(when.at), zone))
    if when.daily:
        ways.append(daily(when.daily, zone))
    if when.weekly:
        ways.append(weekly(when.weekly, zone))
    if when.cron:
        ways.append(cron(when.cron, zone))
    if len(ways) > 1:
        msg = f"{len(ways)} times are given; give one of at, daily, weekly and cron, or none for now"
        raise InvalidInput(msg)
    return ways[0] if ways else once(now_us, zone)
