"""The running mean and variance of a feature, with forgetting."""

from __future__ import annotations

import math
from dataclasses import dataclass

_LARGEST = 1e150  # what lies beyond would overflow when squared
_SMALLEST_SIGMA = 1e-300


@dataclass
class Moments:
    """Of the values of one feature."""

    seen: int = 0
    mean: float = 0.0
    variance: float = 0.0

    def add(self, value: float, forgetting: float) -> None:
        """Weighs `value` as one of the values seen so far, but never less than `forgetting` (0 to 1).

        Source: T. Finch, "Incremental calculation of weighted mean and variance" (2009), section 9.
        """
        self.seen += 1
        weight = max(1 / self.seen, forgetting)
        step = weight * (value - self.mean)
        self.variance = (1 - weight) * (self.variance + step * (value - self.mean))
        self.mean += step

    def distance(self, value: float, floor: float) -> float:
        """|value - mean| in standard deviations, of which each is at least `floor`."""
        return abs(value - self.mean) / max(math.sqrt(self.variance), floor, _SMALLEST_SIGMA)

    def distance_above(self, value: float, floor: float) -> float:
        """As `distance`, negative where the value is below the mean."""
        return math.copysign(self.distance(value, floor), value - self.mean)


def forgetting_of(memory_windows: float) -> float:
    """The weight of the newest value where the past counts about a third (1/e) after so many windows."""
    return 1 - math.exp(-1 / memory_windows)


def usable(value: float) -> bool:
    """Whether a value can be learned from: neither NaN nor so large that its square overflows."""
    return abs(value) < _LARGEST


def check_positive(name: str, **parameters: float) -> None:
    """Checks parameters.

    Raises:
        ValueError: one is not above 0.
    """
    if min(parameters.values()) <= 0:
        found = ", ".join(f"{key}={value}" for key, value in parameters.items())
        msg = f"{name} with {found}; all must be above 0"
        raise ValueError(msg)
