"""Log surprise: lines that came more or less often than they do, by template and by severity."""

from __future__ import annotations

import math
from collections.abc import Mapping
from heapq import nlargest

from .guard import Guard
from .moments import Moments, check_positive, forgetting_of, usable

_TEMPLATE, _SEVERITY = "log/template/", "log/severity/"
_GRAVE = ("log/severity/error", "log/severity/fatal")


class LogSurprise:
    """The mean of the `top_k` largest surprises over the templates and severities of a window.

    A count is compared with its own running rate; its variance is at least that of a Poisson process, and at
    least `smallest_rate`. A template that came never before has rate 0, so it surprises at once; one that is
    known and stays away does too. Errors weigh `error_weight` times as much.

    Args:
        top_k: how many surprises are averaged.
        memory_windows: windows after which the past counts about a third (1/e).
        warm_up_windows: windows learned before the first score.
        guard_windows: newest windows that are not learned from yet, after those.
        smallest_rate: lines a window that surprise nobody.
        error_weight: how much more lines of severity error and fatal count.

    Raises:
        ValueError: a parameter is not positive.
    """

    def __init__(
        self,
        *,
        top_k: int = 2,
        memory_windows: float = 120,
        warm_up_windows: int = 12,
        guard_windows: int = 6,
        smallest_rate: float = 0.5,
        error_weight: float = 2.0,
    ) -> None:
        check_positive(
            "log surprise",
            top_k=top_k,
            memory_windows=memory_windows,
            warm_up_windows=warm_up_windows,
            guard_windows=guard_windows,
            smallest_rate=smallest_rate,
            error_weight=error_weight,
        )
        self._top_k = top_k
        self._forgetting = forgetting_of(memory_windows)
        self._warm_up = warm_up_windows
        self._smallest_rate = smallest_rate
        self._error_weight = error_weight
        self._guard = Guard(guard_windows, warm_up_windows)
        self._windows = 0
        self._rates: dict[str, Moments] = {}

    def score_one(self, x: Mapping[str, float]) -> float:
        if self._windows < self._warm_up:
            return math.nan
        counts = _counts(x)
        surprises = [
            self._surprise(name, counts.get(name, 0.0)) for name in self._rates.keys() | counts.keys()
        ]
        largest = nlargest(self._top_k, surprises)
        return sum(largest) / len(largest) if largest else 0.0

    def learn_one(self, x: Mapping[str, float]) -> None:
        for window in self._guard.take(x):
            self._learn(_counts(window))

    def _learn(self, counts: Mapping[str, float]) -> None:
        for name in counts.keys() - self._rates.keys():
            # It did not come in all windows before.
            self._rates[name] = Moments(seen=self._windows)
        self._windows += 1
        for name, rate in self._rates.items():
            rate.add(counts.get(name, 0.0), self._forgetting)

    def _surprise(self, name: str, count: float) -> float:
        rate = self._rates.get(name, _NEVER)
        away = abs(count - rate.mean) / math.sqrt(max(rate.variance, rate.mean, self._smallest_rate))
        return self._error_weight * away if name in _GRAVE else away


_NEVER = Moments()


def _counts(x: Mapping[str, float]) -> dict[str, float]:
    return {
        name: value for name, value in x.items() if name.startswith((_TEMPLATE, _SEVERITY)) and usable(value)
    }
