"""The running level and deviation of a feature, which outliers move little."""

from __future__ import annotations

import math
from dataclasses import dataclass

_CLIP_SIGMAS = 3.0
_SMALLEST_SIGMA = 1e-300


@dataclass
class RobustLevel:
    """Of the values of one feature, exponentially weighted.

    A value beyond three sigmas is learned as if it lay at three: so a fault that lasts does not become normal
    at once, and leaves no wide sigma behind. Deviations are squared: by absolute ones, what is mostly 0 would
    be surprised by each value that is not.
    """

    seen: int = 0
    level: float = 0.0
    variance: float = 0.0

    def add(self, value: float, *, forgetting: float, floor: float, warm_up: int) -> None:
        """Weighs `value` as one of those seen so far, but never less than `forgetting` (0 to 1).

        Args:
            value: the newest.
            forgetting: its least weight.
            floor: the smallest sigma.
            warm_up: so many values are learned as they are.
        """
        self.seen += 1
        if self.seen > warm_up:
            reach = _CLIP_SIGMAS * self._sigma(floor)
            value = max(self.level - reach, min(self.level + reach, value))
        weight = max(1 / self.seen, forgetting)
        step = weight * (value - self.level)
        self.variance = (1 - weight) * (self.variance + step * (value - self.level))
        self.level += step

    def distance(self, value: float, floor: float) -> float:
        """Sigmas from the level to `value`, of which each is at least `floor`."""
        return (value - self.level) / self._sigma(floor)

    def _sigma(self, floor: float) -> float:
        return max(math.sqrt(self.variance), floor, _SMALLEST_SIGMA)
