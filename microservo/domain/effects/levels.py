"""The level of a metric, against its fault-free one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from microservo.domain.effects.baseline import RARE, SURE, Baseline, Deviating, Outcome
from microservo.domain.effects.columns import of_stratum, share_of, sums
from microservo.domain.effects.free_time import FreeTime
from microservo.domain.effects.history import Samples
from microservo.domain.effects.policy import EffectPolicy
from microservo.domain.faults.base import Measure
from microservo.domain.telemetry import Float64

_LEAST_SCALES = 8
"""A metric that never moves is taken to move by this part of what matters."""


class LevelBaseline(Baseline):
    """The mean of a metric's points, against the middle of its fault-free ones."""

    def __init__(self, measure: Measure, samples: Samples, free: FreeTime, policy: EffectPolicy) -> None:
        super().__init__(measure, samples, free, policy)
        self._sign = 1 if measure.direction == "up" else -1
        self._middles = _middles(samples)
        moved = self._moved(samples)
        self._points = len(samples)
        self._is_constant = not moved.any()
        self._scale = max(float(moved.std()) if len(moved) else 0.0, measure.least / _LEAST_SCALES)
        rare = float(np.quantile(moved, 1 - RARE, method="higher")) if len(moved) else 0.0
        self._extreme = max(measure.least / 2, rare)
        self._sums = sums(moved)
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
        moved = self._moved(samples)
        beyond = moved >= self._extreme
        records = len(samples)
        mean = float(moved.mean()) if records else 0.0
        reference = self.reference(length_us)
        root = np.sqrt(records) / self._scale
        # So many points say no more of how rarely one lies beyond; a metric that never moves needs only one.
        rarest = 0.0 if self._is_constant else float((self._points + 1.0) ** -int(beyond.sum()))
        return Outcome(
            p_value=max(reference.p_value(float(mean * root)), rarest) if records else 1.0,
            is_large=mean >= self.measure.least,
            is_excluded=records > 0
            and reference.distance(float(mean * root), float(self.measure.least * root)) >= SURE,
            baseline=self._mean,
            value=float(samples.value.mean()) if records else float("nan"),
            records=records,
            share=share_of(beyond),
            stretches=reference.stretches,
        )

    def deviating(self, samples: Samples, tested: NDArray[np.bool_]) -> Deviating:
        beyond: NDArray[np.bool_] = self._moved(samples) >= self._extreme
        return Deviating(flags=beyond, natural=RARE, share=share_of(beyond[tested]))

    def _moved(self, samples: Samples) -> Float64:
        moved: Float64 = self._sign * (samples.value - of_stratum(self._middles, samples.stratum))
        return moved

    def _statistics(
        self, begins: NDArray[np.intp], ends: NDArray[np.intp], edges_us: NDArray[np.int64], length_us: int
    ) -> Float64:
        del edges_us, length_us
        with np.errstate(invalid="ignore", divide="ignore"):
            statistics: Float64 = (
                (self._sums[ends] - self._sums[begins]) / np.sqrt(ends - begins) / self._scale
            )
        return statistics


def _middles(samples: Samples) -> Float64:
    """By stratum, the median of the values; of all records last."""
    size = int(samples.stratum.max(initial=0)) + 2
    middles = np.full(size, np.nan)
    for stratum in np.unique(samples.stratum).tolist():
        middles[stratum] = np.median(samples.value[samples.stratum == stratum])
    middles[-1] = np.median(samples.value) if len(samples) else 0.0
    return middles
