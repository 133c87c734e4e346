"""The threshold of an algorithm: from the scores that it gave while nothing was wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from microservo.domain.alarms.tail import upper_quantile
from microservo.errors import InvalidInput

Floats = NDArray[np.float64]

_TRIMMED = 0.8
"""Of the scores of a service above its median, the share that tells its size; the largest tell its tail."""
_ROUNDING = 1e-9
"""Scores that differ by a smaller share of the largest are the same."""
_SMALLEST_SIZE = 1e-300
"""Divided by less, a score may be infinite."""
_MANY_SERVICES = 3
"""With fewer, the largest score of one can't be told from the tail of all."""
_USUAL = 20
"""So many scores of a service above its median count as much as the size that is usual for services."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class NoThreshold:
    """None could be found, so there will be no alarm.

    Attributes:
        reason: why, and what can be done.
    """

    reason: str


class Calibration:
    """Gathers the scores of fault-free windows, and makes a threshold of them.

    One service has too few scores to show what happens once an hour, so all services are taken together.
    Their scores are not alike in size: each is first told in sizes of its service from the service's median.
    The size is the mean of how far its scores above the median are above it, without the largest; the fewer
    there are, the more it is drawn to the usual size of all services. What all exceed as seldom as is asked
    for is continued from their tail (`tail`), and told in the size of each service again.

    What one service alone exceeded is not the tail of the others: it raises its own threshold, which is never
    below its own largest score, unless so many windows show that more alarms are asked for.

    Args:
        alarms_per_hour: false alarms that are aimed at, of all services together.
        window_us: length of a window in microseconds.

    Raises:
        InvalidInput: an aim or a length that is not above 0.
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

    def threshold(self, least_scores: int = 1) -> Threshold | NoThreshold:
        """The threshold; none with too few scores, or with scores that never change.

        Args:
            least_scores: so many are needed, of all services together.
        """
        # In order, so that sums don't depend on the order in which the scores came.
        scores = {service: np.sort(values) for service, values in sorted(self._scores.items())}
        found = sum(map(len, scores.values()))
        if found < max(1, least_scores):
            return NoThreshold(
                reason=f"no threshold, so no alarms: only {found} scores of at least {max(1, least_scores)} "
                "in fault-free time; make that longer, or give --threshold"
            )
        sizes = _sizes(scores)
        if sizes is None:
            return NoThreshold(
                reason=f"no threshold, so no alarms: none of {found} scores in fault-free time is above the "
                "median of its service, as where all are the same; give --threshold"
            )
        chance = self._chance(len(scores))
        medians = {service: float(np.median(values)) for service, values in scores.items()}
        pooled = [(values - medians[service]) / sizes[service] for service, values in scores.items()]
        above, is_extrapolated = upper_quantile(_of_more_than_one(pooled), chance)
        thresholds = {}
        for service, values in scores.items():
            is_shown = chance * len(values) >= 1
            least = -math.inf if is_shown else float(values[-1])
            thresholds[service] = max(least, medians[service] + above * sizes[service])
        return Threshold(
            by_service=thresholds,
            other=float(np.median(list(thresholds.values()))),
            scores=found,
            is_extrapolated=is_extrapolated,
        )

    def warning(self, threshold: Threshold) -> str:
        """What is to be said of a threshold that aims at less than its scores show; empty for any other.

        What exceeds the largest of n scores comes once in n + 1, whatever they are distributed like and on
        the average: where fewer false alarms are asked for, that so few will come is a guess.
        """
        if not threshold.is_extrapolated:
            return ""
        shown = self._windows_per_hour(len(threshold.by_service)) / (threshold.scores + 1)
        if shown <= self._alarms_per_hour:
            return ""
        return (
            f"{threshold.scores} scores in fault-free time can promise no fewer than {shown:.2g} "
            f"false alarms an hour; that {self._alarms_per_hour:.2g} will come is a guess from their tail, "
            "so make that time longer"
        )

    def _chance(self, services: int) -> float:
        """That a window exceeds the threshold; where more is asked for than windows come, half of them do."""
        return min(0.5, self._alarms_per_hour / self._windows_per_hour(services))

    def _windows_per_hour(self, services: int) -> float:
        return 3_600_000_000 / self._window_us * services


def _sizes(scores: Mapping[str, Floats]) -> dict[str, float] | None:
    """The size of the scores of each service; None where none is above the median."""
    above = {service: _above_median(values) for service, values in scores.items()}
    pooled = np.concatenate(list(above.values()))
    if not len(pooled):
        return None
    logs = {service: math.log(_trimmed_mean(values)) for service, values in above.items() if len(values)}
    # Of those of all services together where most have none.
    usual = float(np.median(list(logs.values()))) if 2 * len(logs) > len(above) else math.log(pooled.mean())
    return {
        service: max(
            _drawn(logs.get(service, usual), len(values), usual),
            _ROUNDING * float(np.abs(scores[service]).max()),
            _SMALLEST_SIZE,
        )
        for service, values in above.items()
    }


def _drawn(log_size: float, count: int, usual: float) -> float:
    """A size, drawn to the usual one the more the fewer scores it is of. Both come as logarithms."""
    return math.exp((log_size * count + usual * _USUAL) / (count + _USUAL))


def _of_more_than_one(pooled: Sequence[Floats]) -> Floats:
    """The values of all services, where what only one service exceeded counts as much as that."""
    largest = sorted(float(values[-1]) for values in pooled)
    values = np.concatenate(pooled)
    return np.minimum(values, largest[-2]) if len(largest) >= _MANY_SERVICES else values


def _above_median(ranked: Floats) -> Floats:
    """How far values are above their median, those that are."""
    above = ranked - np.median(ranked)
    different: Floats = above[above > _ROUNDING * np.abs(ranked).max()]
    return different


def _trimmed_mean(ranked: Floats) -> float:
    """The mean without the largest values."""
    return float(ranked[: math.ceil(_TRIMMED * len(ranked))].mean())
