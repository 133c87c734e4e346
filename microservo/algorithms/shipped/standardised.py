"""A step before vector algorithms: each feature as its robust distance from its past."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .moments import check_positive, forgetting_of, usable
from .robust_level import RobustLevel
from .scales import damped, furthest, log_scaled, size_of


class Standardised:
    """Robust z of each feature on a logarithmic scale, as `robust_z` has them, with their sign.

    It is called as transformers of River, PySAD and scikit-learn are. Distances beyond what the past can tell
    (`furthest`) grow as their logarithm, so that no single feature rules all others.

    Args:
        memory_windows: windows after which the past counts about a third (1/e).
        warm_up_windows: windows that are learned as they are.
        floor_ratio: smallest sigma, as a share of the usual size.

    Raises:
        ValueError: a parameter is not positive.
    """

    def __init__(
        self,
        *,
        memory_windows: float = 60,
        warm_up_windows: int = 12,
        floor_ratio: float = 0.05,
    ) -> None:
        check_positive(
            "standardised",
            memory_windows=memory_windows,
            warm_up_windows=warm_up_windows,
            floor_ratio=floor_ratio,
        )
        self._furthest = furthest(memory_windows)
        self._forgetting = forgetting_of(memory_windows)
        self._warm_up = warm_up_windows
        self._floor_ratio = floor_ratio
        self._features: dict[Any, RobustLevel] = {}

    def learn_one(self, x: Mapping[Any, float]) -> None:
        for name, value in x.items():
            if usable(value):
                known = self._features.setdefault(name, RobustLevel())
                scaled = log_scaled(value)
                # What was always 0 has no size yet: the clip must not keep it there for ever.
                floor = self._floor(known) or abs(scaled) / self._furthest
                known.add(scaled, forgetting=self._forgetting, floor=floor, warm_up=self._warm_up)

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

    def distance(self, name: Any, value: float) -> float:
        """Robust z of a value, with its sign; NaN where it is not usable, or its past too short."""
        known = self._features.get(name)
        if known is None or known.seen < self._warm_up or not usable(value):
            return math.nan
        scaled = log_scaled(value)
        # What was always 0 has no size yet: its first value counts as what came once.
        distance = known.distance(scaled, self._floor(known) or abs(scaled) / self._furthest)
        return math.copysign(damped(abs(distance), self._furthest), distance)

    def _told(self, name: Any, value: float) -> float:
        distance = self.distance(name, value)
        return 0.0 if math.isnan(distance) else distance

    def _floor(self, known: RobustLevel) -> float:
        return self._floor_ratio * size_of(known.level)
