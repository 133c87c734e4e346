"""What commands are given, as records hold it."""

from __future__ import annotations

import getpass
from datetime import datetime, timedelta

from microservo.domain.faults.units import parse_duration
from microservo.errors import InvalidInput


def user_name() -> str:
    """Who asks; empty where the machine has no name for the user, as in a container that runs as a number."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def duration_us(duration: str | timedelta | None) -> int:
    """Microseconds of a duration such as "20s"; 0 where none is given.

    Raises:
        InvalidInput: the text is no duration.
    """
    if duration is None:
        return 0
    if isinstance(duration, timedelta):
        return duration // timedelta(microseconds=1)
    return parse_duration(duration)


def instant_us(instant: datetime) -> int:
    """Epoch microseconds of an instant.

    Raises:
        InvalidInput: it has no time zone.
    """
    if instant.tzinfo is None:
        msg = f"instant {instant.isoformat()} has no time zone; add one, for example +00:00 or Z"
        raise InvalidInput(msg)
    return round(instant.timestamp() * 1_000_000)
