"""A step before vector algorithms: each feature as its robust distance from its past."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .robust_level import RobustLevels


class Standardised:
    """Robust z of each feature on a logarithmic scale, as `robust_z` has them, with their sign.

    It is called as transformers of River, PySAD and scikit-learn are. Distances beyond what the past can tell
    (`furthest`) grow as their logarithm, so that no single feature rules all others.

    Args:
        memory_windows: windows after which the past counts about a third (1/e).
        warm_up_windows: windows of a feature before it counts.
        guard_windows: newest windows that are not learned from yet, after those.
        floor_ratio: smallest sigma, as a share of the usual size.

    Raises:
        ValueError: a parameter is not positive.
    """

    def __init__(
        self,
        *,
        memory_windows: float = 60,
        warm_up_windows: int = 6,
        guard_windows: int = 6,
        floor_ratio: float = 0.05,
    ) -> None:
        self._levels = RobustLevels(
            memory_windows=memory_windows,
            warm_up_windows=warm_up_windows,
            guard_windows=guard_windows,
            floor_ratio=floor_ratio,
        )

    def learn_one(self, x: Mapping[Any, float]) -> None:
        self._levels.learn(x)

    def transform_one(self, x: Mapping[Any, float]) -> dict[Any, float]:
        return {name: self._told(name, value) for name, value in x.items()}

    def fit_partial(self, x: Sequence[float]) -> None:
        self.learn_one(dict(enumerate(x)))

    def transform_partial(self, x: Sequence[float]) -> Any:
        return np.array(list(self.transform_one(dict(enumerate(x))).values()))

    def fit(self, table: Any) -> Standardised:
        for row in table.tolist():
            self.fit_partial(row)
        return self

    def transform(self, table: Any) -> Any:
        return np.array([self.transform_partial(row) for row in table.tolist()])

    def _told(self, name: Any, value: float) -> float:
        distance = self._levels.distance(name, value)
        return 0.0 if math.isnan(distance) else distance
