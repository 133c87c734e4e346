"""A detector to begin with: how far the features of a window are from their running means."""

from collections.abc import Mapping


class MyDetector:
    """The mean relative distance of all features from their own past."""

    def __init__(self, memory_windows: float = 60) -> None:
        self.weight = 1 / memory_windows
        self.means: dict[str, float] = {}

    def score_one(self, x: Mapping[str, float]) -> float:
        away = [abs(value - self.means.get(name, value)) / (abs(value) + 1e-9) for name, value in x.items()]
        return sum(away) / max(1, len(away))

    def learn_one(self, x: Mapping[str, float]) -> None:
        for name, value in x.items():
            mean = self.means.get(name, value)
            self.means[name] = mean + self.weight * (value - mean)
