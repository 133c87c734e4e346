"""How many requests come, against how many came just before."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from microservo.domain.effects.baseline import RARE, SURE, Baseline, Deviating, Outcome
from microservo.domain.effects.free_time import FreeTime
from microservo.domain.effects.history import Samples
from microservo.domain.effects.policy import EffectPolicy
from microservo.domain.effects.tails import poisson_tail
from microservo.domain.faults.base import Measure
from microservo.domain.telemetry import Float64

_RATE_US = 60_000_000
_LEAST_RATE_US = 10_000_000


class CountBaseline(Baseline):
    """How many records begin in a stretch, against the rate just before."""

    def __init__(self, measure: Measure, samples: Samples, free: FreeTime, policy: EffectPolicy) -> None:
        super().__init__(measure, samples, free, policy)
        self._sign = 1 if measure.direction == "up" else -1
        gaps_us = np.diff(self._elapsed_us)
        self.usual_gap_us = int(np.quantile(gaps_us, 1 - RARE, method="higher")) if len(gaps_us) else 0
        """Between two records hardly ever lies more than this."""

    @property
    def name(self) -> str:
        return "count"

    def test(self, samples: Samples, length_us: int) -> Outcome:
        records = len(samples)
        end = np.array([self.free_us])
        expected = float(self._expected(end, length_us)[0])
        reference = self.reference(length_us)
        statistic = self._sign * float(_difference(np.array([records]), np.array([expected]))[0])
        least = np.array([max(0.0, expected * (1 + self._sign * self.measure.least))])
        at_least = self._sign * float(_difference(least, np.array([expected]))[0])
        moved = self._sign * (records - expected) / expected if expected > 0 else 0.0
        # Where arrivals are independent, a ratio says too much of few of them.
        independent = poisson_tail(records, max(expected, 1e-9), lower=self._sign < 0)
        is_known = expected >= self._policy.least_records
        return Outcome(
            p_value=max(reference.p_value(statistic), independent) if is_known else 1.0,
            is_large=moved >= self.measure.least,
            is_excluded=is_known and reference.distance(statistic, at_least) >= SURE,
            baseline=expected,
            value=float(records),
            records=records,
            share=max(0.0, moved),
            stretches=reference.stretches,
        )

    def deviating(self, samples: Samples, tested: NDArray[np.bool_]) -> Deviating:
        # What is missing has no records; the silence between them is looked for (`intervals.silences`).
        return Deviating(flags=np.zeros(len(samples), np.bool_), natural=RARE, share=0.0)

    def _expected(self, ends_us: NDArray[np.int64], length_us: int) -> Float64:
        """Records in a stretch that begins at `ends`, by the rate before; NaN with too little before it."""
        before_us = np.minimum(ends_us, _RATE_US)
        counts = np.diff(np.searchsorted(self._elapsed_us, np.stack((ends_us - before_us, ends_us))), axis=0)[
            0
        ]
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(before_us >= _LEAST_RATE_US, counts * length_us / before_us, np.nan)

    def _statistics(
        self, begins: NDArray[np.intp], ends: NDArray[np.intp], edges_us: NDArray[np.int64], length_us: int
    ) -> Float64:
        return self._sign * _difference(ends - begins, self._expected(edges_us[:-1], length_us))


def _difference(count: NDArray[np.int64] | Float64, expected: Float64) -> Float64:
    """How far a count is from what was expected, as a ratio.

    Rates wander by a share of themselves, so a count that falls to nothing says the more, the more was
    expected. About normal with spread 1 where arrivals are independent and many.
    """
    difference: Float64 = np.sqrt(expected + 0.5) * np.log((count + 0.5) / (expected + 0.5))
    return difference
