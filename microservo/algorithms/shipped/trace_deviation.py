"""Trace deviation: requests and calls that take longer or fail more often than they do, and silence."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from .guard import Guard
from .moments import Moments, check_positive, forgetting_of, usable
from .scales import furthest, mean_of_largest

_FAMILIES = ("request/", "call/", "consume/", "internal/")
_LATENCIES = ("p50_ms", "p90_ms", "p99_ms")
_SMALLEST_LOG_SIGMA = 0.1
"""A tenth more or less is no news, however steady an endpoint is."""
_SMALLEST_FAILURES = 0.5
_SMALLEST_MS = 1e-3
_SILENT = "telemetry/silent"


class TraceDeviation:
    """The mean of the `top_k` largest deviations over the endpoints and peers of a window.

    A latency is compared by its logarithm with its own running mean and deviation: twice as long is as odd
    for 2 ms as for 2 s. It counts the less, by the root, the fewer spans it is of than usually. Failures are
    compared with as many as the running share gives for this number of spans. Faster and fewer failures count
    nothing. A service that sends nothing has no spans to compare: its silence itself is compared with the
    share of windows in which it was silent before; what never was is as far as what came once (`furthest`).

    Args:
        top_k: how many endpoints and peers are averaged.
        memory_windows: windows after which the past counts about a third (1/e).
        warm_up_windows: windows with a span that are learned before an endpoint is scored.
        guard_windows: newest windows that are not learned from yet, after as many.

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
    ) -> None:
        check_positive(
            "trace deviation",
            top_k=top_k,
            memory_windows=memory_windows,
            warm_up_windows=warm_up_windows,
            guard_windows=guard_windows,
        )
        self._top_k = top_k
        self._forgetting = forgetting_of(memory_windows)
        self._furthest = furthest(memory_windows)
        self._warm_up = warm_up_windows
        self._guard = Guard(guard_windows, warm_up_windows)
        self._known: dict[str, Moments] = {}
        self._counts: dict[str, Moments] = {}
        self._silence = Moments()

    def score_one(self, x: Mapping[str, float]) -> float:
        found = (
            (name, self._failing(past, value, count) if is_share else self._slow(past, name, value, count))
            for name, value, count, is_share in _spans(x)
            if (past := self._known.get(name)) is not None and past.seen >= self._warm_up
        )
        away = [(name, max(0.0, distance)) for name, distance in found]
        # Sound says nothing of how odd the spans are, so it is no quantity beside them.
        if x.get(_SILENT, 0.0) > 0 and self._silence.seen >= self._warm_up:
            away.append((_SILENT, self._silence.distance_above(x[_SILENT], 1 / self._furthest)))
        return mean_of_largest(away, self._top_k)

    def learn_one(self, x: Mapping[str, float]) -> None:
        for window in self._guard.take(x):
            for name, value, count, _ in _spans(window):
                self._known.setdefault(name, Moments()).add(value, self._forgetting)
                self._counts.setdefault(name, Moments()).add(count, self._forgetting)
            if usable(silence := window.get(_SILENT, math.nan)):
                self._silence.add(silence, self._forgetting)

    def _slow(self, past: Moments, name: str, value: float, count: float) -> float:
        evidence = min(1.0, math.sqrt(count / max(self._counts[name].mean, 1.0)))
        return evidence * past.distance_above(value, _SMALLEST_LOG_SIGMA)

    @staticmethod
    def _failing(past: Moments, share: float, count: float) -> float:
        expected = past.mean * count
        return (share * count - expected) / math.sqrt(expected * (1 - past.mean) + _SMALLEST_FAILURES)


def _spans(x: Mapping[str, float]) -> Iterator[tuple[str, float, float, bool]]:
    """Name, value (of latencies the logarithm), number of spans, and whether it is a share of failures."""
    for name, value in x.items():
        if not name.startswith(_FAMILIES) or not usable(value):
            continue
        group, _, statistic = name.rpartition("/")
        count = x.get(f"{group}/count", 0.0)
        if statistic == "error_share":
            yield name, value, count, True
        elif statistic in _LATENCIES:
            yield name, math.log(max(value, _SMALLEST_MS)), count, False
