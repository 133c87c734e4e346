"""A detector to begin with: how far the features of a window are from their running means."""

from collections.abc import Mapping
from math import log1p, nan


class MyDetector:
    """The mean of the furthest features, each in what it is usually away from its mean; of logarithms."""

    def __init__(self, memory_windows: float = 60, furthest: int = 20) -> None:
        self.memory_windows, self.furthest, self.seen = memory_windows, furthest, 0
        self.means: dict[str, float] = {}
        self.usual: dict[str, float] = {}

    def score_one(self, x: Mapping[str, float]) -> float:
        if self.seen < 12:
            return nan
        away = [
            abs(log1p(abs(x[name])) - mean) / (self.usual[name] + 0.1)
            for name, mean in self.means.items()
            if name in x
        ]
        return sum(sorted(away)[-self.furthest :]) / self.furthest

    def learn_one(self, x: Mapping[str, float]) -> None:
        self.seen += 1
        weight = max(1 / self.seen, 1 / self.memory_windows)
        for name, value in x.items():
            away = log1p(abs(value)) - self.means.setdefault(name, log1p(abs(value)))
            self.means[name] += weight * away
            self.usual[name] = (1 - weight) * self.usual.get(name, 0.0) + weight * abs(away)
