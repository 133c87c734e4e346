"""The running levels and deviations of features, which outliers move little."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .guard import Guard
from .moments import check_positive, forgetting_of, usable
from .scales import damped, furthest, log_scaled, size_of

_SMALLEST_SIGMA = 1e-300


@dataclass
class RobustLevel:
    """Of the values of one feature, exponentially weighted.

    A value beyond `reach` sigmas is learned as if it lay there: so a fault does not become normal at once,
    and leaves no wide sigma behind. Deviations are squared: by absolute ones, what is mostly 0 would be
    surprised by each value that is not.
    """

    seen: int = 0
    level: float = 0.0
    variance: float = 0.0

    def add(self, value: float, *, forgetting: float, floor: float, reach: float) -> None:
        """Weighs `value` as one of those seen so far, but never less than `forgetting` (0 to 1).

        Args:
            value: the newest.
            forgetting: its least weight.
            floor: the smallest sigma.
            reach: so many sigmas away at most it is learned, once the square of that many were seen.
        """
        self.seen += 1
        if self.seen > reach * reach:
            away = reach * self._sigma(floor)
            value = max(self.level - away, min(self.level + away, value))
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

    Once there are as many windows as are remembered, values are clipped at what came once in them
    (`furthest`). Clipped at c sigmas, what is away from the level in a share p of windows leaves a sigma
    behind only where p > 1 / c^2. At three sigmas that is one window in nine: a request that fails once in a
    minute would be as odd each time as the first.

    Args:
        memory_windows: windows after which the past counts about a third (1/e).
        warm_up_windows: windows of a feature before it has a distance.
        guard_windows: newest windows that are not learned from yet, after those.
        floor_ratio: smallest sigma, as a share of the usual size.

    Raises:
        ValueError: a parameter is not positive.
    """

    def __init__(
        self, *, memory_windows: float, warm_up_windows: int, guard_windows: int, floor_ratio: float
    ) -> None:
        check_positive(
            "robust levels",
            memory_windows=memory_windows,
            warm_up_windows=warm_up_windows,
            guard_windows=guard_windows,
            floor_ratio=floor_ratio,
        )
        self._memory_windows = memory_windows
        self._forgetting = forgetting_of(memory_windows)
        self._warm_up = warm_up_windows
        self._floor_ratio = floor_ratio
        self._guard = Guard(guard_windows, warm_up_windows)
        self._features: dict[Any, RobustLevel] = {}

    def learn(self, x: Mapping[Any, float]) -> None:
        """Takes the newest window, and learns those that are due."""
        for window in self._guard.take(x):
            for name, value in window.items():
                if usable(value):
                    self._learn(self._features.setdefault(name, RobustLevel()), log_scaled(value))

    def distance(self, name: Any, value: float) -> float:
        """Sigmas from the level to a value; NaN where it is not usable, or its past too short."""
        known = self._features.get(name)
        if known is None or known.seen < self._warm_up or not usable(value):
            return math.nan
        scaled, most = log_scaled(value), furthest(min(known.seen, self._memory_windows))
        # What was always 0 has no size yet: its first value counts as what came once.
        distance = known.distance(scaled, self._floor(known) or abs(scaled) / most)
        return math.copysign(damped(abs(distance), most), distance)

    def _learn(self, known: RobustLevel, scaled: float) -> None:
        reach = furthest(self._memory_windows)
        known.add(
            scaled,
            forgetting=self._forgetting,
            # What was always 0 has no size yet: the clip must not keep it there for ever.
            floor=self._floor(known) or abs(scaled) / reach,
            reach=reach,
        )

    def _floor(self, known: RobustLevel) -> float:
        return self._floor_ratio * size_of(known.level)
