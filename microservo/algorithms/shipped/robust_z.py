"""Robust z: how far features are from a level that outliers move little."""

from __future__ import annotations

import math
from collections.abc import Mapping
from heapq import nlargest

from .moments import check_positive, forgetting_of, usable

_DEVIATION_TO_SIGMA = 1.2533
"""Standard deviation of a normal distribution over its mean absolute deviation, sqrt(pi / 2)."""
_CLIP_SIGMAS = 3.0


class RobustZ:
    """The mean of the `top_k` largest |value - level| / sigma; sigma from the mean absolute deviation.

    Level and deviation are exponentially weighted. A value beyond three sigmas is learned as if it lay at
    three: so a fault that lasts does not become normal at once, and leaves no wide sigma behind.

    Args:
        top_k: how many features are averaged.
        memory_windows: windows after which the past counts about a third (1/e).
        warm_up_windows: windows learned before the first score, and without clipping.
        floor_ratio: smallest sigma, as a share of |level|; of |value| where the level is 0.

    Raises:
        ValueError: a parameter is not positive.
    """

    def __init__(
        self,
        *,
        top_k: int = 3,
        memory_windows: float = 60,
        warm_up_windows: int = 12,
        floor_ratio: float = 0.05,
    ) -> None:
        check_positive(
            "robust z",
            top_k=top_k,
            memory_windows=memory_windows,
            warm_up_windows=warm_up_windows,
            floor_ratio=floor_ratio,
        )
        self._top_k = top_k
        self._forgetting = forgetting_of(memory_windows)
        self._warm_up = warm_up_windows
        self._floor_ratio = floor_ratio
        self._features: dict[str, tuple[int, float, float]] = {}

    def score_one(self, x: Mapping[str, float]) -> float:
        distances = [
            abs(value - known[1]) / self._sigma(known, value)
            for name, value in x.items()
            if usable(value) and (known := self._features.get(name, _NONE))[0] >= self._warm_up
        ]
        largest = nlargest(self._top_k, distances)
        return sum(largest) / len(largest) if largest else math.nan

    def learn_one(self, x: Mapping[str, float]) -> None:
        for name, value in x.items():
            if usable(value):
                self._features[name] = self._learned(self._features.get(name, _NONE), value)

    def _learned(self, known: tuple[int, float, float], value: float) -> tuple[int, float, float]:
        seen, level, deviation = known
        seen += 1
        weight = max(1 / seen, self._forgetting)
        if seen > self._warm_up:
            reach = _CLIP_SIGMAS * self._sigma(known, value)
            value = max(level - reach, min(level + reach, value))
        away = abs(value - level) if seen > 1 else 0.0
        return seen, level + weight * (value - level), deviation + weight * (away - deviation)

    def _sigma(self, known: tuple[int, float, float], value: float) -> float:
        _, level, deviation = known
        floor = self._floor_ratio * (abs(level) or abs(value))
        return max(_DEVIATION_TO_SIGMA * deviation, floor, 1e-300)


_NONE = (0, 0.0, 0.0)
