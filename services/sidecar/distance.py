"""How long bytes travel between callers and the instance, by the places of both."""

from __future__ import annotations

from microservo.domain.geography import Coordinates, travel_time_s
from microservo.errors import InvalidInput

_MOST_PLACES = 4096


class Distance:
    """Of one instance.

    Args:
        place: where it is, as "LATITUDE,LONGITUDE" in degrees.

    Raises:
        InvalidInput: that is no place.
    """

    def __init__(self, place: str) -> None:
        self._place = place_in(place)
        # Callers are few and say the same each time.
        self._known_s: dict[str, float] = {}

    def travel_s(self, caller: str) -> float:
        """Seconds in one direction; 0 for a caller that does not say where it is, or names no place."""
        known = self._known_s.get(caller)
        if known is not None:
            return known
        try:
            found = travel_time_s(place_in(caller), self._place)
        except InvalidInput:
            found = 0.0
        if len(self._known_s) < _MOST_PLACES:
            self._known_s[caller] = found
        return found


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
