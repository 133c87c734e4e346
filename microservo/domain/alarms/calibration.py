"""The threshold of an algorithm: from the scores that it gave while nothing was wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from microservo.errors import InvalidInput

Floats = NDArray[np.float64]

LEAST_SCORES = 5
"""Of a service: with fewer, its own spread says nothing, and the one of all services counts alone."""
_TAIL = 0.1
_TO_SIGMA = 1.4826
"""Median absolute deviations of a normal distribution in one standard deviation."""
_SMALLEST_PART = 0.1
_TINY = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """Scores above it are alarms, for each service.

    Attributes:
        by_service: threshold of each service that was calibrated.
        other: of any other service.
        scores: how many scores it was learned from.
        is_extrapolated: fewer false alarms are asked for than so many scores can show by themselves, so the
            tail of their distribution was continued.
    """

    by_service: Mapping[str, float] = field(default_factory=dict)
    other: float
    scores: int = 0
    is_extrapolated: bool = False

    def of(self, service: str) -> float:
        """The threshold of a service."""
        return self.by_service.get(service, self.other)

    @classmethod
    def fixed(cls, value: float) -> Threshold:
        """The threshold that an algorithm brings itself, for every service."""
        return cls(other=value)


class Calibration:
    """Gathers the scores of fault-free windows, and makes a threshold of them.

    Scores of services are not alike in size, and one service has few: each score is first told in spreads
    from its service's median, then all are taken together. Where fewer false alarms are asked for than so
    many scores can show, the upper tenth is continued as an exponential distribution; the threshold is never
    below the largest score seen. A score that never changes gives no alarm at all.

    Args:
        alarms_per_hour: false alarms that are aimed at, of all services together.
        window_us: length of a window in microseconds.

    Raises:
        InvalidInput: an aim or a length that is not above 0.

    Source: the tail as in peaks over threshold (Pickands 1975), with an exponential one, which needs no more
    than a mean.
    """

    def __init__(self, *, alarms_per_hour: float = 1.0, window_us: int) -> None:
        if not (alarms_per_hour > 0 and window_us > 0):
            msg = (
                f"{alarms_per_hour:g} false alarms an hour of windows of {window_us} us can't be aimed at; "
                "both must be above 0"
            )
            raise InvalidInput(msg)
        self._alarms_per_hour = alarms_per_hour
        self._window_us = window_us
        self._scores: dict[str, list[float]] = {}

    def add(self, service: str, score: float) -> None:
        """Takes the score of a fault-free window; NaN, of an algorithm that was not ready, says nothing."""
        if math.isfinite(score):
            self._scores.setdefault(service, []).append(score)

    def snapshot(self) -> dict[str, list[float]]:
        """The scores so far, as plain values."""
        return {service: list(values) for service, values in self._scores.items()}

    def restore(self, snapshot: Mapping[str, Sequence[float]]) -> None:
        """Goes on from the scores of a snapshot."""
        self._scores = {service: list(values) for service, values in snapshot.items()}

    def threshold(self, least_scores: int = 1) -> Threshold | None:
        """The threshold; None with fewer scores than that, of all services together."""
        scores = {service: np.array(values) for service, values in sorted(self._scores.items())}
        if sum(map(len, scores.values())) < max(1, least_scores):
            return None
        places = _places(scores)
        spreads = np.concatenate([(scores[name] - at) / spread for name, (at, spread) in places.items()])
        windows_per_hour = 3_600_000_000 / self._window_us * len(scores)
        above, is_extrapolated = _quantile(np.sort(spreads), self._alarms_per_hour / windows_per_hour)
        thresholds = {name: float(at + above * spread) for name, (at, spread) in places.items()}
        return Threshold(
            by_service=thresholds,
            other=float(np.median(list(thresholds.values()))),
            scores=len(spreads),
            is_extrapolated=is_extrapolated,
        )


def _places(scores: Mapping[str, Floats]) -> dict[str, tuple[float, float]]:
    """Median and spread of the scores of each service; a spread is never far below that of all."""
    own = {name: _spread(values) for name, values in scores.items() if len(values) >= LEAST_SCORES}
    pooled = np.concatenate([values - np.median(values) for values in scores.values()])
    usual = float(np.median(list(own.values()))) if own else _spread(pooled)
    if usual == 0.0:
        usual = max(float(np.std(pooled)), _TINY)
    return {
        name: (float(np.median(values)), max(own.get(name, usual), _SMALLEST_PART * usual))
        for name, values in scores.items()
    }


def _spread(values: Floats) -> float:
    return _TO_SIGMA * float(np.median(np.abs(values - np.median(values))))


def _quantile(ranked: Floats, chance: float) -> tuple[float, bool]:
    """What a value exceeds with this chance, and whether it lies beyond what the values show."""
    largest = float(ranked[-1])
    if chance * len(ranked) >= 1:
        return float(np.quantile(ranked, 1 - chance)), False
    begin = float(np.quantile(ranked, 1 - _TAIL))
    excess = ranked[ranked > begin] - begin
    if not len(excess):
        return largest, True
    return max(largest, begin + float(excess.mean()) * math.log(len(excess) / len(ranked) / chance)), True
