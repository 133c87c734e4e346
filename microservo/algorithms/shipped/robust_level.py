"""The running levels and deviations of features, which outliers move little."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .moments import check_positive, forgetting_of, usable
from .scales import damped, furthest, log_scaled, size_of

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


class RobustLevels:
    """Those of the features of a window, by the logarithms of their values (`log_scaled`).

    Args:
        memory_windows: windows after which the past counts about a third (1/e).
        warm_up_windows: windows that are learned as they are.
        floor_ratio: smallest sigma, as a share of the usual size.

    Raises:
        ValueError: a parameter is not positive.
    """

    def __init__(self, *, memory_windows: float, warm_up_windows: int, floor_ratio: float) -> None:
        check_positive(
            "robust levels",
            memory_windows=memory_windows,
            warm_up_windows=warm_up_windows,
            floor_ratio=floor_ratio,
        )
        self._furthest = furthest(memory_windows)
        self._forgetting = forgetting_of(memory_windows)
        self._warm_up = warm_up_windows
        self._floor_ratio = floor_ratio
        self._features: dict[Any, RobustLevel] = {}

    def learn(self, x: Mapping[Any, float]) -> None:
        """Learns a window."""
        for name, value in x.items():
            if usable(value):
                known = self._features.setdefault(name, RobustLevel())
                scaled = log_scaled(value)
                # What was always 0 has no size yet: the clip must not keep it there for ever.
                floor = self._floor(known) or abs(scaled) / self._furthest
                known.add(scaled, forgetting=self._forgetting, floor=floor, warm_up=self._warm_up)

    def distance(self, name: Any, value: float) -> float:
        """Sigmas from the level to a value; NaN where it is not usable, or its past too short."""
        known = self._features.get(name)
        if known is None or known.seen < self._warm_up or not usable(value):
            return math.nan
        scaled = log_scaled(value)
        # What was always 0 has no size yet: its first value counts as what came once.
        distance = known.distance(scaled, self._floor(known) or abs(scaled) / self._furthest)
        return math.copysign(damped(abs(distance), self._furthest), distance)

    def _floor(self, known: RobustLevel) -> float:
        return self._floor_ratio * size_of(known.level)
