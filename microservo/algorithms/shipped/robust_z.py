"""Robust z: how far features are from a level that outliers move little."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from .moments import check_positive
from .robust_level import RobustLevels
from .scales import mean_of_largest


class RobustZ:
    """The mean of the `top_k` largest |value - level| / sigma, of clipped values.

    Each quantity counts by that of its statistics which is the furthest away. How distances are told, and how
    the past is learned so that a fault that lasts does not become normal at once, is as in `RobustLevels`.

    Args:
        top_k: how many quantities are averaged.
        memory_windows: windows after which the past counts about a third (1/e).
        warm_up_windows: windows learned before the first score.
        guard_windows: newest windows that are not learned from yet, after those.
        floor_ratio: smallest sigma, as a share of the usual size.

    Raises:
        ValueError: a parameter is not positive.
    """

    def __init__(
        self,
        *,
        top_k: int = 3,
        memory_windows: float = 60,
        warm_up_windows: int = 6,
        guard_windows: int = 6,
        floor_ratio: float = 0.05,
    ) -> None:
        check_positive("robust z", top_k=top_k)
        self._top_k = top_k
        self._levels = RobustLevels(
            memory_windows=memory_windows,
            warm_up_windows=warm_up_windows,
            guard_windows=guard_windows,
            floor_ratio=floor_ratio,
        )

    def score_one(self, x: Mapping[str, float]) -> float:
        return mean_of_largest(self._distances(x), self._top_k)

    def learn_one(self, x: Mapping[str, float]) -> None:
        self._levels.learn(x)

    def _distances(self, x: Mapping[str, float]) -> Iterator[tuple[str, float]]:
        for name, value in x.items():
            distance = self._levels.distance(name, value)
            if not math.isnan(distance):
                yield name, abs(distance)
