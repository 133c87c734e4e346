"""Which instance of a service is given out: the closest one, or one by chance among several."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Literal

import numpy as np

from microservo.domain.geography import Coordinates, distances_m
from microservo.domain.registry.instances import InstanceColumns
from microservo.domain.telemetry import Float64, Int64
from microservo.errors import InvalidInput
from schemas.records import Registration

By = Literal["distance", "load"]

DEFAULT_DISTANCE_M = 100_000.0
DEFAULT_FACTOR = 2.0
LEAST_DISTANCE_M = 1.0
LEAST_FACTOR = 1.1
MOST_AMONG = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """How one of the instances is chosen.

    Attributes:
        among: by chance, among so many that are closest.
        distance_m: by chance, among those at most so many metres away; where there are none, the distance is
            multiplied by `factor` until there are.
        factor: see above.
        by: `load` gives each one of these as good a chance as it has capacity free; if neither `among` nor
            `distance_m` is given, it is one of those within the default distance. `distance` all the same.

    Raises:
        InvalidInput: it is none.
    """

    among: int | None = None
    distance_m: float | None = None
    factor: float = DEFAULT_FACTOR
    by: By = "distance"

    def __post_init__(self) -> None:
        if self.among is not None and self.distance_m is not None:
            msg = f"among {self.among} and a distance of {self.distance_m:g} m; give one of them"
            raise InvalidInput(msg)
        if self.among is not None and not 1 <= self.among <= MOST_AMONG:
            msg = f"among {self.among}; expected 1 to {MOST_AMONG} instances"
            raise InvalidInput(msg)
        # Written so that NaN is refused as well; both bound how often the distance is multiplied.
        if self.distance_m is not None and not LEAST_DISTANCE_M <= self.distance_m < np.inf:
            msg = f"a distance of {self.distance_m:g} m; expected {LEAST_DISTANCE_M:g} m or more"
            raise InvalidInput(msg)
        if not LEAST_FACTOR <= self.factor < np.inf:
            msg = f"a factor of {self.factor:g}; expected {LEAST_FACTOR:g} or more"
            raise InvalidInput(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The instance that was chosen, and how many metres it is away."""

    record: Registration
    distance_m: float


def choose(
    columns: InstanceColumns, place: Coordinates, selection: Selection, random: Random
) -> Found | None:
    """One of the instances that may be given out; None where there are none.

    Of instances at the same distance the first by name counts as closer.

    Args:
        columns: the instances.
        place: of who asks.
        selection: how to choose.
        random: the chance; drawn from once, unless the closest one is chosen.
    """
    if not columns.records:
        return None
    distances = distances_m(place.latitude, place.longitude, columns.latitudes, columns.longitudes)
    rows = _candidates(distances, selection)
    row = int(rows[0]) if _is_closest(selection) else int(rows[_drawn(columns.free[rows], selection, random)])
    return Found(record=columns.records[row], distance_m=float(distances[row]))


def _is_closest(selection: Selection) -> bool:
    return selection.by == "distance" and selection.among is None and selection.distance_m is None


def _candidates(distances: Float64, selection: Selection) -> Int64:
    """Rows, in the order of the columns, which is that of names; of equal distances the first is taken."""
    if _is_closest(selection):
        return np.array([np.argmin(distances)], np.int64)
    if selection.among is not None:
        return np.sort(np.argsort(distances, kind="stable")[: selection.among])
    radius = DEFAULT_DISTANCE_M if selection.distance_m is None else selection.distance_m
    closest = float(distances.min())
    while radius < closest:
        radius *= selection.factor
    return np.flatnonzero(distances <= radius)


def _drawn(free: Float64, selection: Selection, random: Random) -> int:
    """An index into the candidates."""
    drawn = random.random()
    total = float(free.sum())
    if selection.by == "distance" or total == 0:
        return int(drawn * len(free))
    index = int(np.searchsorted(np.cumsum(free), drawn * total, side="right"))
    # Rounding may lead behind the last that has capacity.
    return min(index, int(np.flatnonzero(free)[-1]))
