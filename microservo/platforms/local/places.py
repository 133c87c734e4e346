"""Places as callers name them to each other; apart, since geography needs NumPy and most processes don't."""

from __future__ import annotations

from microservo.domain.geography import SEVEN_REGIONS, Coordinates, distance_m, region_of
from microservo.errors import InvalidInput
from microservo.platforms.local.peers import Vicinity


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


def region_name(place: Coordinates, given: str = "") -> str:
    """The region of a place: the one that is given, or else that with the nearest centre."""
    return given or region_of(place).name


def vicinity(place: Coordinates, *, host: str = "", region: str = "") -> Vicinity:
    """What is near a place: its own region, then the others by the distance of their centres.

    Args:
        place: of a caller.
        host: that the caller runs on; empty for none.
        region: that it lies in; empty for the one with the nearest centre.
    """
    own = region_name(place, region)
    others = sorted(SEVEN_REGIONS, key=lambda each: (distance_m(place, each.centre), each.name))
    return Vicinity(host, (own, *(each.name for each in others if each.name != own)))
