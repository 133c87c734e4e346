"""The threshold of an algorithm: from the scores that it gave while nothing was wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from microservo.domain.alarms.runs import LENGTHS, level, row_minima
from microservo.errors import InvalidInput

Floats = NDArray[np.float64]
Levels = tuple[float, ...]
"""What so many scores in a row as `LENGTHS` says have to exceed, one by one; where any do, it is an alarm."""

_TRIMMED = 0.8
"""Of the scores of a service above its median, the share that tells its size; the largest tell its tail."""
_ROUNDING = 1e-9
"""Scores that differ by a smaller share of the largest are the same."""
_SMALLEST_SIZE = 1e-300
"""Divided by less, a score may be infinite."""
_ALWAYS = 3
"""Runs up to this length are asked about however few windows there are."""
_WINDOWS_FOR_EACH = 8
"""A longer run has to fit so many times into the windows of a service: whether scores stay must show."""
_USUAL = 20
"""So many scores of a service above its median count as much as the size that is usual for services."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """Scores above it are alarms, for each service.

    Attributes:
        by_service: levels of each service that was calibrated.
        other: of any other service.
        scores: how many scores it was learned from.
        asked_per_hour: false alarms that were aimed at.
        shown_per_hour: false alarms that so many scores can promise at the least: as often comes what is
            above the largest of them, whatever they are distributed like.
    """

    by_service: Mapping[str, Levels] = field(default_factory=dict)
    other: Levels
    scores: int = 0
    asked_per_hour: float = 0.0
    shown_per_hour: float = 0.0

    def of(self, service: str) -> Levels:
        """The levels of a service."""
        return self.by_service.get(service, self.other)

    def lowest(self) -> dict[str, float]:
        """By service what a score has to exceed to count at all; of any other under an empty name."""
        return {service: min(levels) for service, levels in {**self.by_service, "": self.other}.items()}

    def warning(self) -> str:
        """What is to be said of one whose aim lies beyond what the scores show; empty for any other."""
        if self.shown_per_hour <= self.asked_per_hour:
            return ""
        return (
            f"{self.scores} scores in fault-free time can promise no fewer than {self.shown_per_hour:.2g} "
            f"false alarms an hour; that {self.asked_per_hour:.2g} will come is a guess from their tail, so "
            "make that time longer"
        )

    @classmethod
    def fixed(cls, value: float) -> Threshold:
        """The threshold that an algorithm brings itself, for every service: one score is enough."""
        return cls(other=(value,))


@dataclass(frozen=True, slots=True, kw_only=True)
class NoThreshold:
    """None could be found, so there will be no alarm.

    Attributes:
        reason: why, and what can be done.
    """

    reason: str


class Calibration:
    """Gathers the scores of fault-free windows, and makes a threshold of them.

    One service has too few scores to show what is seldom, so all services are taken together. Their scores
    are not alike in size: each is first told in sizes of its service from the service's median. The size is
    the mean of how far its scores above the median are above it, without the largest; the fewer there are,
    the more it is drawn to the usual size of all services.

    One score may be an alarm, or some in a row (`runs`), and each of these lengths has the same share of the
    false alarms that are aimed at: a fault that is small and lasts is told by several.

    What one service alone exceeded is not the tail of the others: it raises its own threshold. Nothing that
    was seen of a service in fault-free time would have been an alarm there, unless so many windows show that
    more alarms are asked for.

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
        """Takes the score of a fault-free window; those of a service come in order of time.

        NaN, of an algorithm that was not ready, says nothing.
        """
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
        # By name, so that sums don't depend on the order in which the services' scores came.
        scores = {service: np.array(values) for service, values in sorted(self._scores.items())}
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
        medians = {service: float(np.median(values)) for service, values in scores.items()}
        levels = self._levels(_told_by_others(scores, sizes))
        thresholds = {
            service: tuple(
                self._own(values, length, medians[service] + each * sizes[service])
                for length, each in zip(LENGTHS, levels, strict=False)
            )
            for service, values in scores.items()
        }
        return Threshold(
            by_service=thresholds,
            other=tuple(np.median(list(thresholds.values()), axis=0).tolist()),
            scores=found,
            asked_per_hour=self._alarms_per_hour,
            shown_per_hour=self._windows_per_hour(len(scores)) / (found + 1),
        )

    def _levels(self, told: Sequence[Floats]) -> list[float]:
        """What all services exceed as seldom as is asked for, by length; more in a row need be no higher."""
        lengths = _lengths(sum(map(len, told)) / len(told))
        chance = self._chance(len(told)) / len(lengths)
        levels: list[float] = []
        for length in lengths:
            found = level([row_minima(values, length) for values in told], chance)
            known = [each for each in (found, *levels[-1:]) if each is not None]
            if known:
                levels.append(min(known))
        return levels

    def _own(self, values: Floats, length: int, at: float) -> float:
        """A level, but no lower than what was seen of the service in fault-free time."""
        seen = row_minima(values, length)
        is_shown = self._chance(1) * len(seen) >= 1
        return at if is_shown or not len(seen) else max(at, float(seen.max()))

    def _windows_per_hour(self, services: int) -> float:
        return 3_600_000_000 / self._window_us * services

    def _chance(self, services: int) -> float:
        """That a window is an alarm; where more is asked for than windows come, half of them are."""
        return min(0.5, self._alarms_per_hour / self._windows_per_hour(services))


def _lengths(windows: float) -> tuple[int, ...]:
    """The lengths of runs that so many windows of a service tell of; the short ones are always taken."""
    return tuple(each for each in LENGTHS if each <= max(_ALWAYS, windows / _WINDOWS_FOR_EACH))


def _told_by_others(scores: Mapping[str, Floats], sizes: Mapping[str, float]) -> list[Floats]:
    """The scores of each service in its size, each half from the median of the other half."""
    found = []
    for service, values in scores.items():
        middle = len(values) // 2
        halves = values[:middle], values[middle:]
        centers = [float(np.median(half if len(half) else values)) for half in reversed(halves)]
        parts = [(half - center) / sizes[service] for half, center in zip(halves, centers, strict=True)]
        found.append(np.concatenate(parts))
    return found


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


def _above_median(values: Floats) -> Floats:
    """How far values are above their median, those that are, in order."""
    above = np.sort(values - np.median(values))
    different: Floats = above[above > _ROUNDING * np.abs(values).max()]
    return different


def _trimmed_mean(ranked: Floats) -> float:
    """The mean without the largest values."""
    return float(ranked[: math.ceil(_TRIMMED * len(ranked))].mean())
