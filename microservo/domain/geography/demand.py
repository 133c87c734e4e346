"""Where the requests to a service come from: their centre on the sphere, over a window of event time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from microservo.domain.geography.coordinates import Coordinates, place_of, unit_vectors
from microservo.domain.telemetry import Float64, Int64
from microservo.errors import InvalidInput

LEAST_CONCENTRATION: Final = 0.01
"""Below it, where the mean lies is up to chance: demand surrounds the earth, or is at antipodes."""
MOST_REQUESTS: Final = 10_000_000
"""In one batch: sums of hundreds of such have room in 64 bits."""
_LEAST_SLICE_US: Final = 1_000
# Sums of whole numbers don't depend on the order or the batches in which rows came, as those of floats do.
# One unit is 6 mm on the ground.
_SCALE: Final = 1 << 30
# One degree each, 180 rows from south to north of 360.
_CELLS: Final = 180 * 360


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestCounts:
    """Requests to one service by place and time, in columns of shape (rows,).

    Attributes:
        latitude: degrees, as of `Coordinates`; 0 is a latitude like any other.
        longitude: degrees, likewise.
        count: how many requests, 0 or more, and no more than `MOST_REQUESTS` in all rows.
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
        if is_right.all() and self.count.sum() > MOST_REQUESTS:
            msg = f"{self.count.sum()} requests at once can't be counted; give up to {MOST_REQUESTS} a batch"
            raise InvalidInput(msg)
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
        >>> round(found.coordinates.longitude, 6), round(found.concentration, 4)
        (10.0, 0.9853)
    """
    places = np.stack((counts.latitude, counts.longitude), axis=1)
    distinct, inverse = np.unique(places, axis=0, return_inverse=True)
    sums = np.zeros((len(distinct), 4), np.int64)
    np.add.at(sums, inverse, _weighted(counts))
    found = _mean(sums)
    if found is None or not found.is_degenerate:
        return found
    most = distinct[int(np.argmax(sums[:, 0]))]
    return replace(found, coordinates=Coordinates(float(most[0]), float(most[1])))


class DemandWindow:
    """The requests to one service in the newest stretch of event time, in bounded memory.

    Time is cut into slices, and the earth into cells of one degree. Of each slice and cell the number of
    requests and the sum of their unit vectors is kept, in whole numbers, so the centre is as exact as of the
    rows themselves (6 mm), and the same in whatever order and batches they come. Where demand has no
    centre, the place of most demand is the middle of what comes from the cell of most demand.

    Args:
        window_us: length in microseconds.
        slices: it moves on in steps of window_us / slices, which are at least a millisecond.

    Attributes:
        late: requests that were older than the window when they came, and so never counted.
        ahead: those that were more than a window ahead of their time, likewise.

    Raises:
        InvalidInput: such steps would be too short.
    """

    def __init__(self, *, window_us: int, slices: int = 12) -> None:
        if not (slices >= 1 and window_us >= slices * _LEAST_SLICE_US):
            msg = (
                f"a window of {window_us} us can't move on in {slices} steps; give at least one step, "
                f"and {_LEAST_SLICE_US} us for each"
            )
            raise InvalidInput(msg)
        self.late = 0
        self.ahead = 0
        self._slice_us = window_us // slices
        self._slices = slices
        self._now_us: int | None = None
        # Sorted by slice, then cell.
        self._keys = np.zeros(0, np.int64)
        self._sums = np.zeros((0, 4), np.int64)

    def add(self, counts: RequestCounts, *, now_us: int) -> None:
        """Takes rows in.

        Args:
            counts: in any order. Rows older than the window, and those more than a window ahead of `now_us`,
                count as `late` and `ahead` and for nothing else.
            now_us: event time of what brought them, epoch microseconds; the window ends at the newest.
        """
        self._now_us = now_us if self._now_us is None else max(now_us, self._now_us)
        number = counts.at_us // self._slice_us
        first, end = self._bounds(self._now_us)
        is_late, is_ahead = number < first, number >= end + self._slices
        self.late += int(counts.count[is_late].sum())
        self.ahead += int(counts.count[is_ahead].sum())
        taken = ~is_late & ~is_ahead & (counts.count > 0)
        keys = number[taken] * _CELLS + _cells(counts.latitude[taken], counts.longitude[taken])
        kept = self._keys >= first * _CELLS
        self._keys, self._sums = _summed(
            np.concatenate((self._keys[kept], keys)),
            np.concatenate((self._sums[kept], _weighted(counts)[taken])),
        )

    def centre(self, *, now_us: int) -> DemandCentre | None:
        """The centre of the requests of the window that ends then, or at the newest `now_us`.

        Args:
            now_us: event time, epoch microseconds.

        Returns:
            As `demand_centre` says; None where the window is empty.
        """
        first, _ = self._bounds(now_us if self._now_us is None else max(now_us, self._now_us))
        kept = self._keys >= first * _CELLS
        _, sums = _summed(self._keys[kept] % _CELLS, self._sums[kept])
        found = _mean(sums)
        if found is None or not found.is_degenerate:
            return found
        most = sums[int(np.argmax(sums[:, 0]))]
        return replace(found, coordinates=place_of(*most[1:].astype(np.float64).tolist()))

    def _bounds(self, now_us: int) -> tuple[int, int]:
        """First slice of the window that ends then, and the one after its last."""
        end = now_us // self._slice_us + 1
        return end - self._slices, end


def _weighted(counts: RequestCounts) -> Int64:
    """Requests, and the sums of their unit vectors, shape (rows, 4)."""
    vectors = np.stack(unit_vectors(counts.latitude, counts.longitude), axis=1)
    return np.column_stack((counts.count, np.rint(vectors * _SCALE).astype(np.int64) * counts.count[:, None]))


def _mean(sums: Int64) -> DemandCentre | None:
    """The mean direction of sums of shape (places, 4)."""
    requests = int(sums[:, 0].sum())
    if not requests:
        return None
    # Floats, since the sum of all places may have no room in 64 bits.
    mean = sums[:, 1:].astype(np.float64).sum(axis=0) / (_SCALE * requests)
    concentration = min(1.0, float(np.sqrt((mean**2).sum())))
    return DemandCentre(
        coordinates=place_of(*mean.tolist()),
        concentration=concentration,
        requests=requests,
        is_degenerate=concentration < LEAST_CONCENTRATION,
    )


def _cells(latitude: Float64, longitude: Float64) -> Int64:
    """The cell of each place, counted from the south pole, and there from 180 west."""
    row = np.minimum(np.floor(latitude).astype(np.int64) + 90, 179)
    return row * 360 + (np.floor(longitude).astype(np.int64) + 180) % 360


def _summed(keys: Int64, sums: Int64) -> tuple[Int64, Int64]:
    """One row a key, in order of keys."""
    if not len(keys):
        return keys, sums
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    begins = np.flatnonzero(np.diff(ordered, prepend=ordered[0] - 1))
    return ordered[begins], np.add.reduceat(sums[order], begins, axis=0)
