"""The level of a metric, against its fault-free one."""

from __future__ import annotations

from math import sqrt

import numpy as np
from numpy.typing import NDArray

from microservo.domain.effects.baseline import RARE, SURE, Baseline, Deviating, Outcome
from microservo.domain.effects.columns import of_stratum, share_of, sums
from microservo.domain.effects.free_time import FreeTime
from microservo.domain.effects.history import Samples
from microservo.domain.effects.policy import EffectPolicy
from microservo.domain.faults.base import Measure
from microservo.domain.telemetry import Float64

_MOST_LEASTS = 3.0
_LEAST_SCALES = 8
"""A metric that never moves is taken to move by this part of what matters."""


class LevelBaseline(Baseline):
    """The mean of a metric's points, against the middle of its fault-free ones.

    It is taken twice: of all that the points moved, and of no more than some times what matters, so that one
    second in which the machine stood still does not hide what a fault does for many. The larger of both
    statistics counts, in the fault-free stretches as well.
    """

    def __init__(self, measure: Measure, samples: Samples, free: FreeTime, policy: EffectPolicy) -> None:
        super().__init__(measure, samples, free, policy)
        self._sign = 1 if measure.direction == "up" else -1
        self._middles = _middles(samples)
        moved = self._moved(samples)
        self._scales = [self._scale(values) for values in self._both(moved)]
        self._sums = [sums(values) for values in self._both(moved)]
        self._is_certain = measure.is_steady and not moved.any()
        rare = float(np.quantile(moved, 1 - RARE, method="higher")) if len(moved) else 0.0
        self._bands = (measure.least / 2, max(measure.least / 2, rare))
        self._natural = [float(((moved >= band).sum() + 1) / (len(moved) + 1)) for band in self._bands]
        self._mean = float(samples.value.mean()) if len(samples) else 0.0
        gaps_us = np.diff(samples.begin_us)
        self.interval_us = int(np.median(gaps_us[gaps_us > 0])) if gaps_us.any() else 0
        """Between two points of a series, mostly; each says what was in that time."""

    @property
    def name(self) -> str:
        return "mean"

    def end_us(self, at_us: int, end_us: int) -> int:
        return min(at_us, end_us + self.interval_us)

    def test(self, samples: Samples, length_us: int) -> Outcome:
        records = len(samples)
        moved = self._moved(samples)
        reference = self.reference(length_us)
        statistic = self._statistic(moved) if records else 0.0
        at_least = self.measure.least * np.sqrt(records) / self._scales[-1]
        return Outcome(
            p_value=max(reference.p_value(statistic), self._rarity(moved)) if records else 1.0,
            is_large=records > 0 and float(moved.mean()) >= self.measure.least,
            is_excluded=records > 0 and reference.distance(statistic, float(at_least)) >= SURE,
            baseline=self._mean,
            value=float(samples.value.mean()) if records else float("nan"),
            records=records,
            share=share_of(moved >= self._bands[0]),
            stretches=reference.stretches,
        )

    def deviating(self, samples: Samples, tested: NDArray[np.bool_]) -> Deviating:
        moved = self._moved(samples)
        usual, extreme = (moved >= band for band in self._bands)
        # A movement that happens now and then can be dated by what matters only.
        if extreme[tested].sum() >= usual[tested].sum() / 2:
            # A point says what was in the time before it, and only a part of that is the fault's at first.
            return Deviating(
                flags=extreme, natural=self._natural[1], share=share_of(extreme[tested]), partly=usual
            )
        return Deviating(flags=usual, natural=self._natural[0], share=share_of(usual[tested]))

    def _rarity(self, moved: Float64) -> float:
        """The least probability that so many points can speak for, by how many fault-free ones lie there."""
        if self._is_certain:
            return 0.0
        return min(
            natural ** int((moved >= band).sum())
            for band, natural in zip(self._bands, self._natural, strict=True)
        )

    def _moved(self, samples: Samples) -> Float64:
        moved: Float64 = self._sign * (samples.value - of_stratum(self._middles, samples.stratum))
        return moved

    def _both(self, moved: Float64) -> tuple[Float64, Float64]:
        """All that points moved, and no more than some times what matters."""
        most = _MOST_LEASTS * self.measure.least
        return moved, np.clip(moved, -most, most)

    def _scale(self, values: Float64) -> float:
        return max(float(values.std()) if len(values) else 0.0, self.measure.least / _LEAST_SCALES)

    def _statistic(self, moved: Float64) -> float:
        both = zip(self._both(moved), self._scales, strict=True)
        return max(float(values.sum()) / sqrt(len(values)) / scale for values, scale in both)

    def _statistics(
        self, begins: NDArray[np.intp], ends: NDArray[np.intp], edges_us: NDArray[np.int64], length_us: int
    ) -> Float64:
        del edges_us, length_us
        with np.errstate(invalid="ignore", divide="ignore"):
            roots = np.sqrt(ends - begins)
            found: list[Float64] = [
                (total[ends] - total[begins]) / roots / scale
                for total, scale in zip(self._sums, self._scales, strict=True)
            ]
        return np.maximum(*found)


def _middles(samples: Samples) -> Float64:
    """By stratum, the median of the values; of all records last."""
    size = int(samples.stratum.max(initial=0)) + 2
    middles = np.full(size, np.nan)
    for stratum in np.unique(samples.stratum).tolist():
        middles[stratum] = np.median(samples.value[samples.stratum == stratum])
    middles[-1] = np.median(samples.value) if len(samples) else 0.0
    return middles
