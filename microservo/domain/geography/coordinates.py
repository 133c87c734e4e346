"""Places on the earth, taken as a sphere, and the great-circle distance between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from microservo.domain.telemetry import Float64
from microservo.errors import InvalidInput

EARTH_RADIUS_M = 6_371_000.0


@dataclass(frozen=True, slots=True)
class Coordinates:
    """A place.

    Args:
        latitude: degrees north of the equator, -90 to 90.
        longitude: degrees east of Greenwich, -180 to 180.

    Raises:
        InvalidInput: one of them is out of range or no number.
    """

    latitude: float
    longitude: float

    def __post_init__(self) -> None:
        # Written so that NaN is refused as well.
        if not (-90 <= self.latitude <= 90 and -180 <= self.longitude <= 180):
            msg = (
                f"latitude {self.latitude:g}, longitude {self.longitude:g} is no place; "
                "give degrees from -90 to 90 north and from -180 to 180 east"
            )
            raise InvalidInput(msg)


def distance_m(a: Coordinates, b: Coordinates) -> float:
    """Metres from one place to another along the great circle; the same in both directions.

    Example:
        >>> lisbon, porto = Coordinates(38.7223, -9.1393), Coordinates(41.1579, -8.6291)
        >>> round(distance_m(lisbon, porto) / 1000)
        274
    """
    return float(distances_m(a.latitude, a.longitude, b.latitude, b.longitude))


def distances_m(
    latitudes: ArrayLike, longitudes: ArrayLike, other_latitudes: ArrayLike, other_longitudes: ArrayLike
) -> Float64:
    """Metres between places, element by element, in columns that are broadcast against each other.

    NaN only where a coordinate is NaN: equal places are 0 m apart, antipodes half of the circumference, and
    what is nearly one of both is as exact as anything else.

    Args:
        latitudes: degrees, any shape.
        longitudes: degrees, likewise.
        other_latitudes: degrees of the other places.
        other_longitudes: degrees of the other places.

    Source: W. Kahan, "How Futile are Mindless Assessments of Roundoff in Floating-Point Computation?" (2006),
    section 12: the angle between unit vectors u and v is 2 atan2(|u - v|, |u + v|).

    Example:
        >>> distances_m(0.0, 0.0, [0.0, 0.0], [0.0, 180.0]).round().tolist()
        [0.0, 20015087.0]
    """
    here = unit_vectors(latitudes, longitudes)
    there = unit_vectors(other_latitudes, other_longitudes)
    # `** 2` of one number and of a column are rounded by different functions, `square` is one for both.
    apart = np.sqrt(sum(np.square(u - v) for u, v in zip(here, there, strict=True)))
    together = np.sqrt(sum(np.square(u + v) for u, v in zip(here, there, strict=True)))
    found: Float64 = 2.0 * EARTH_RADIUS_M * np.arctan2(apart, together)
    return found


def unit_vectors(latitudes: ArrayLike, longitudes: ArrayLike) -> tuple[Float64, Float64, Float64]:
    """Places as x, y and z on the sphere of radius 1: x towards 0 0, y towards 0 90 east, z to the north."""
    phi = np.radians(np.asarray(latitudes, np.float64))
    lam = np.radians(np.asarray(longitudes, np.float64))
    across = np.cos(phi)
    return across * np.cos(lam), across * np.sin(lam), np.sin(phi)


def place_of(x: float, y: float, z: float) -> Coordinates:
    """The place in the direction of a vector of any length but 0."""
    latitude = np.degrees(np.arctan2(z, np.hypot(x, y)))
    return Coordinates(float(latitude), float(np.degrees(np.arctan2(y, x))))
