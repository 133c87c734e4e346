"""region-cut: nothing passes between a region and the rest; the sidecar is on one of both sides."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import ClassVar, Self

from microservo.errors import InvalidInput
from services.sidecar.faults.base import UNTIL_RECOVERY_S, Effect, Parameters, request_fault, segment_fault
from services.sidecar.framing import Head

_VANISHES = Effect(hold_s=UNTIL_RECOVERY_S)


@request_fault
@segment_fault
class RegionCut:
    """Holds back what comes from the other side and what goes there, as `network-partition` does.

    Which side a caller is on is said by the place that it names; one that names none is on ours.

    Args:
        region: that is cut off.
        is_inside: whether the instance is in it.
    """

    kind: ClassVar[str] = "region-cut"

    def __init__(self, *, region: str, is_inside: bool) -> None:
        self._region = region
        self._is_inside = is_inside
        self._known: dict[str, bool] = {}

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, object], chance: random.Random) -> Self:
        read = Parameters(cls.kind, parameters)
        region, is_inside = read.text("region"), read.whole("inside", least=0, most=1) == 1
        read.finish()
        return cls(region=region, is_inside=is_inside)

    def is_beyond(self, place: str) -> bool:
        """Whether who is at a place is on the other side."""
        if place not in self._known:
            if len(self._known) >= _MOST_PLACES:
                self._known.clear()
            self._known[place] = self._find(place)
        return self._known[place]

    def on_request(self, request: Head | None) -> Effect | None:
        return _VANISHES if request is not None and self.is_beyond(request.place) else None

    def on_segment(self, size_bytes: int, now_s: float) -> Effect | None:
        return _VANISHES

    def _find(self, place: str) -> bool:
        # Only now: geography needs NumPy, whose memory sidecars without a place are spared.
        from microservo.domain.geography import region_of  # noqa: PLC0415
        from microservo.platforms.local.places import place_in  # noqa: PLC0415

        try:
            where = place_in(place)
        except InvalidInput:
            return False
        return (region_of(where).name == self._region) != self._is_inside


_MOST_PLACES = 4096
