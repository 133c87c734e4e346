"""Where users are: shares of all journeys by place, changed while they come."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping

from microservo.errors import InvalidInput
from microservo.platforms.local.peers import Vicinity

NOWHERE = ""
"""The place of users who name none, and so have no distance from any container."""
_EXAMPLE = '{"places": [{"latitude": 52.5, "longitude": 13.4, "share": 1}]}'
_MOST = 1000


class UserPlaces:
    """Says of each journey where its user is; the same for the same seed, number and shares.

    Args:
        place: of all users at first, as "LATITUDE,LONGITUDE" in degrees; "" for none.
        seed: of the chance.

    Raises:
        InvalidInput: that is no place.
    """

    def __init__(self, place: str, seed: int) -> None:
        self._seed = seed
        self._shares: Mapping[str, float] = {_checked(place) if place else NOWHERE: 1.0}
        self._near: dict[str, Vicinity] = {NOWHERE: Vicinity()}

    def of(self, number: int) -> str:
        """The place of the user who comes as number so and so, as in the header."""
        if len(self._shares) == 1:
            return next(iter(self._shares))
        chance = random.Random(f"{self._seed}/place/{number}")
        return chance.choices(list(self._shares), list(self._shares.values()))[0]

    def near(self, place: str) -> Vicinity:
        """What is near a place of users."""
        found = self._near.get(place)
        if found is None:
            found = self._near[place] = _vicinity(place)
        return found

    def change(self, body: Mapping[str, object]) -> None:
        """Has users come from elsewhere from now on.

        Raises:
            InvalidInput: the body is not as the control API wants it.
        """
        rows = body.get("places")
        if not isinstance(rows, list) or not 1 <= len(rows) <= _MOST:
            msg = f"places {rows!r} is no list of 1 to {_MOST} places; send {_EXAMPLE}"
            raise InvalidInput(msg)
        shares = dict(_share(row) for row in rows)
        if len(shares) < len(rows):
            msg = f"two of the places {rows!r} are one; name it once"
            raise InvalidInput(msg)
        self._shares = shares
        self._near = {NOWHERE: Vicinity()}

    def listing(self) -> dict[str, object]:
        """The places as the control API has them; none where users are nowhere."""
        rows = []
        for text, share in self._shares.items():
            if text != NOWHERE:
                latitude, longitude = map(float, text.split(","))
                rows.append({"latitude": latitude, "longitude": longitude, "share": share})
        return {"places": rows}


def _share(row: object) -> tuple[str, float]:
    if not isinstance(row, dict):
        msg = f"{row!r} is no place; send {_EXAMPLE}"
        raise InvalidInput(msg)
    latitude, longitude, share = (_number(row, name) for name in ("latitude", "longitude", "share"))
    if share <= 0:
        msg = f"the share {share:g} is not above 0; leave the place out"
        raise InvalidInput(msg)
    return _checked(f"{latitude!r},{longitude!r}"), share


def _number(row: Mapping[str, object], name: str) -> float:
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        msg = f"{name} {value!r} is no number; send {_EXAMPLE}"
        raise InvalidInput(msg)
    return float(value)


def _checked(text: str) -> str:
    # Only now: the module needs NumPy, whose memory users who are nowhere are spared.
    from microservo.platforms.local.places import place_in, place_text  # noqa: PLC0415

    return place_text(place_in(text))


def _vicinity(text: str) -> Vicinity:
    from microservo.platforms.local.places import place_in, vicinity  # noqa: PLC0415  # as above

    return vicinity(place_in(text))
