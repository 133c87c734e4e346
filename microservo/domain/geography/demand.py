"""Where the requests to a service come from: their centre on the sphere, over a window of event time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from microservo.domain.geography.coordinates import Coordinates, place_of, unit_vectors
from microservo.domain.telemetry import Float64, Int64
from microservo.errors import InvalidInput

LEAST_CONCENTRATION: Final = 0.01
"""Below it, where the mean lies is up to chance: demand surrounds the earth, or is at antipodes."""
MOST_REQUESTS: Final = 1_000_000_000
"""In one row: what a sum of them in 64 bits has room for."""
_CELLS_PER_DEGREE: Final = 1
# Sums of whole numbers don't depend on the order or the batches in which rows came, as those of floats do.
# One unit is 0.4 m on the ground.
_SCALE: Final = 1 << 24


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestCounts:
    """Requests to one service by place and time, in columns of shape (rows,).

    Attributes:
        latitude: degrees, as of `Coordinates`; 0 is a latitude like any other.
        longitude: degrees, likewise.
        count: how many requests, 0 to `MOST_REQUESTS`.
        at_us: when, in epoch microseconds UTC.

    Raises:
        InvalidInput: the columns differ in length, or a row is out of range.
    """

    latitude: Float64
    longitude: Float64
    count: Int64
    at_us: Int64

    def __post_init__(self) -> None:
        lengths = [len(self.latitude), len(self.longitude), len(self.count), len(self.at_us)]
        if len(set(lengths)) > 1:
            msg = f"columns of {lengths} rows are no request counts; give four of the same length"
            raise InvalidInput(msg)
        is_place = (np.abs(self.latitude) <= 90) & (np.abs(self.longitude) <= 180)
        is_right = is_place & (self.count >= 0) & (self.count <= MOST_REQUESTS)
        if not is_right.all():
            row = int(np.argmin(is_right))
            msg = (
                f"row {row} has {self.count[row]} requests at latitude {self.latitude[row]:g}, longitude "
                f"{self.longitude[row]:g}; give 0 to {MOST_REQUESTS} at -90 to 90 north and -180 to 180 east"
            )
            raise InvalidInput(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemandCentre:
    """The place that is nearest to all demand.

    Attributes:
        coordinates: where it is.
        concentration: 1 where all requests come from one place, towards 0 the more they surround the earth:
            the length of the mean of their unit vectors.
        requests: how many there were.
        is_degenerate: they have no centre (`LEAST_CONCENTRATION`), so this is the place that most come from.
    """

    coordinates: Coordinates
    concentration: float
    requests: int
    is_degenerate: bool = False


def demand_centre(counts: RequestCounts) -> DemandCentre | None:
    """The weighted mean of the places on the sphere; None where there are no requests.

    Where demand has no centre, as at antipodes, the place of most demand is returned: of several, the most
    southern, then the most western one. No row is left out for its place.

    Example:
        >>> columns = np.array([10.0, 10.0]), np.array([0.0, 20.0]), np.array([1, 1]), np.zeros(2, np.int64)
        >>> latitude, longitude, count, at_us = columns
        >>> found = demand_centre(
        ...     RequestCounts(latitude=latitude, longitude=longitude, count=count, at_us=at_us)
        ... )
        >>> round(found.coordinates.longitude, 9), round(found.concentration, 4)
        (10.0, 0.9853)
    """
    raise NotImplementedError


class DemandWindow:
    """The requests to one service in the newest stretch of event time, in bounded memory.

    Time is cut into slices, and the earth into cells of one degree. Of each slice and cell the number of
    requests and the sum of their unit vectors is kept, in whole numbers, so the centre is as exact as of the
    rows themselves (0.4 m), and the same in whatever order and batches they come.

    Args:
        window_us: length in microseconds.
        slices: it moves on in steps of window_us / slices.
    """

    def __init__(self, *, window_us: int, slices: int = 12) -> None:
        raise NotImplementedError

    def add(self, counts: RequestCounts, *, now_us: int) -> None:
        """Takes rows in.

        Args:
            counts: in any order. Rows older than the window, and those more than a window ahead of `now_us`,
                count as `late` and `ahead` and for nothing else.
            now_us: event time of what brought them, epoch microseconds; the window ends at the newest.
        """
        raise NotImplementedError

    def centre(self, *, now_us: int) -> DemandCentre | None:
        """The centre of the requests of the window that ends then; see `demand_centre`."""
        raise NotImplementedError
