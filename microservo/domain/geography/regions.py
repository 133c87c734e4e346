"""Regions of the world, and which one a place belongs to: the one whose centre is nearest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from microservo.domain.geography.coordinates import Coordinates, distances_m
from microservo.domain.telemetry import Float64, Int64
from microservo.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Region:
    """A part of the world, known by its centre."""

    name: str
    centre: Coordinates


SEVEN_REGIONS: tuple[Region, ...] = (
    Region("Europe", Coordinates(49.540486, 9.881931)),
    Region("North America", Coordinates(39.787092, -99.754244)),
    Region("South America", Coordinates(-14.864205, -55.902655)),
    Region("Africa", Coordinates(4.256283, 23.308534)),
    Region("Middle East", Coordinates(31.971059, 46.572714)),
    Region("Asia", Coordinates(35.360601, 95.728129)),
    Region("Oceania", Coordinates(-13.611172, 130.755130)),
)
"""The default; who wants others passes others."""


def region_of(coordinates: Coordinates, regions: Sequence[Region] = SEVEN_REGIONS) -> Region:
    """The region whose centre is nearest; of several at the same distance, the first by name.

    Raises:
        InvalidInput: there are no regions.

    Example:
        >>> region_of(Coordinates(38.7223, -9.1393)).name
        'Europe'
    """
    return regions[int(regions_of([coordinates.latitude], [coordinates.longitude], regions)[0])]


def regions_of(
    latitudes: ArrayLike, longitudes: ArrayLike, regions: Sequence[Region] = SEVEN_REGIONS
) -> Int64:
    """For each place the index into `regions` of the one it belongs to, as `region_of` says, shape (places,).

    Raises:
        InvalidInput: there are no regions.
    """
    if not regions:
        msg = "a place belongs to no region where there are none; give at least one"
        raise InvalidInput(msg)
    by_name = sorted(range(len(regions)), key=lambda index: regions[index].name)
    distances = distances_from(latitudes, longitudes, [regions[index].centre for index in by_name])
    # The first of equal ones is taken, and they are in the order of their names.
    found: Int64 = np.array(by_name, np.int64)[np.argmin(distances, axis=1)]
    return found


def distances_from(latitudes: ArrayLike, longitudes: ArrayLike, centres: Sequence[Coordinates]) -> Float64:
    """Metres from each place to each centre, shape (places, centres)."""
    return distances_m(
        np.asarray(latitudes, np.float64)[:, None],
        np.asarray(longitudes, np.float64)[:, None],
        np.array([centre.latitude for centre in centres]),
        np.array([centre.longitude for centre in centres]),
    )
