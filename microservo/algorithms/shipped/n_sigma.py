"""N-sigma: how many standard deviations the most unusual features are away from their own past."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import astuple
from heapq import nlargest
from typing import Any

from .moments import Moments, check_positive, forgetting_of, usable


class NSigma:
    """The mean of the `top_k` largest |value - mean| / sigma over the features of a window.

    What it does with odd features: the divisor is never below `floor_ratio` of the feature's usual size, so
    that one that (almost) never moved can't explode: constant and equal counts as 0, and a growth by half
    from a constant counts 0.5 / `floor_ratio`. What was always 0 has no usual size: its first value counts
    1 / `floor_ratio`, however large it is. NaN and infinity are neither scored nor learned. A feature that
    is missing is left out, and one that is new waits until it has been seen `warm_up_windows` times.

    Cost: O(features) time per window and three numbers per feature; about 0.15 ms for 100 features.

    Args:
        top_k: how many features are averaged; 1 takes the largest alone, more ask that several agree.
        memory_windows: windows after which the past counts about a third (1/e).
        warm_up_windows: windows learned before the first score.
        floor_ratio: smallest sigma, as a share of |mean|; of |value| where the mean is 0.

    Raises:
        ValueError: a parameter is not positive.

    Source: Shewhart's control chart (1931); as a baseline for root causes in RCAEval (WWW'25), "nsigma".
    """

    def __init__(
        self,
        *,
        top_k: int = 3,
        memory_windows: float = 60,
        warm_up_windows: int = 6,
        floor_ratio: float = 0.05,
    ) -> None:
        check_positive(
            "n-sigma",
            top_k=top_k,
            memory_windows=memory_windows,
            warm_up_windows=warm_up_windows,
            floor_ratio=floor_ratio,
        )
        self._top_k = top_k
        self._forgetting = forgetting_of(memory_windows)
        self._warm_up = warm_up_windows
        self._floor_ratio = floor_ratio
        self._windows = 0
        self._moments: dict[str, Moments] = {}

    def score_one(self, x: Mapping[str, float]) -> float:
        if self._windows < self._warm_up:
            return math.nan
        distances = [
            self._distance(known, value)
            for name, value in x.items()
            if (known := self._moments.get(name)) is not None
            and known.seen >= self._warm_up
            and usable(value)
        ]
        largest = nlargest(self._top_k, distances)
        return sum(largest) / len(largest) if largest else math.nan

    def learn_one(self, x: Mapping[str, float]) -> None:
        self._windows += 1
        for name, value in x.items():
            if usable(value):
                self._moments.setdefault(name, Moments()).add(value, self._forgetting)

    def snapshot(self) -> Mapping[str, Any]:
        features = {name: astuple(moments) for name, moments in self._moments.items()}
        return {"windows": self._windows, "features": features}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        self._windows = int(snapshot["windows"])
        self._moments = {name: Moments(*values) for name, values in snapshot["features"].items()}

    def _distance(self, past: Moments, value: float) -> float:
        return past.distance(value, self._floor_ratio * (abs(past.mean) or abs(value)))
