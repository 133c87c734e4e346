"""How long bytes travel between callers and the instance, by the places of both."""

from __future__ import annotations

from collections import Counter

from microservo.domain.geography import Coordinates, travel_time_s
from microservo.errors import InvalidInput
from microservo.platforms.local.places import place_in

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
        self._known: dict[str, tuple[Coordinates | None, float]] = {}
        self.requests: Counter[Coordinates] = Counter()
        """How many came from where; what says no place, or one of very many, is not counted."""

    def ask(self, caller: str) -> float:
        """Counts a request, and says how many seconds its bytes need in one direction.

        Args:
            caller: where it is made; none, or what is no place, has no distance.
        """
        if caller not in self._known and len(self._known) < _MOST_PLACES:
            self._known[caller] = self._way(caller)
        where, travel_s = self._known.get(caller) or self._way(caller)
        if where is not None and (where in self.requests or len(self.requests) < _MOST_PLACES):
            self.requests[where] += 1
        return travel_s

    def _way(self, caller: str) -> tuple[Coordinates | None, float]:
        try:
            where = place_in(caller)
        except InvalidInput:
            return None, 0.0
        return where, travel_time_s(where, self._place)
