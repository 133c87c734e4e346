"""Places as callers name them to each other; apart, since geography needs NumPy and most processes don't."""

from __future__ import annotations

from microservo.domain.geography import Coordinates
from microservo.errors import InvalidInput


def place_text(place: Coordinates) -> str:
    """A place as the header has it."""
    return f"{place.latitude!r},{place.longitude!r}"


def place_in(text: str) -> Coordinates:
    """The place that a text names.

    Raises:
        InvalidInput: it names none.
    """
    latitude, _, longitude = text.partition(",")
    try:
        degrees = float(latitude), float(longitude)
    except ValueError as error:
        msg = f"{text!r} is no place; give degrees north and east, e.g. 52.5,13.4"
        raise InvalidInput(msg) from error
    return Coordinates(*degrees)
