"""How long a signal needs from one place to another."""

from __future__ import annotations

from microservo.domain.geography.coordinates import Coordinates, distance_m

FIBRE_M_PER_S = 2.0e8
"""Light in glass of a refractive index of about 1.5: 5 ms for 1,000 km.

Real cables are longer than the great circle, and what joins them holds packets up: this is the least.
"""


def travel_time_s(a: Coordinates, b: Coordinates) -> float:
    """Seconds from one place to another through fibre along the great circle; the same in both directions."""
    return distance_m(a, b) / FIBRE_M_PER_S
