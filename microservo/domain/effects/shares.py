"""The share of records that failed, or took longer than is usual among their like."""

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

_LEAST_FACTOR = 0.25
"""A duration that is longer by less than this part of the usual is not slow."""
_DRAWN = 2.0
_MOST_NATURAL = 0.98


class ShareBaseline(Baseline):
    """The share of records that deviate: that failed, or lie beyond a limit of their stratum.

    Durations have two limits: one for what matters, and one for what hardly ever happens. A few calls that
    are slower than any before say more than the first limit can, so the larger of both statistics counts,
    in the fault-free stretches as well.
    """

    def __init__(self, measure: Measure, samples: Samples, free: FreeTime, policy: EffectPolicy) -> None:
        super().__init__(measure, samples, free, policy)
        if measure.statistic == "failed":
            self._usual = self._extreme = _Limit(samples, sign=0, limits=None)
        else:
            sign = 1 if measure.direction == "up" else -1
            limits, extremes = _limits(measure, samples, sign)
            self._usual = _Limit(samples, sign=sign, limits=limits)
            self._extreme = _Limit(samples, sign=sign, limits=extremes)
        self._shown_baseline = self._shown(samples)

    @property
    def name(self) -> str:
        return "error_share" if self.measure.statistic == "failed" else f"p{round(100 * self._quantile)}_ms"

    def test(self, samples: Samples, length_us: int) -> Outcome:
        records = len(samples)
        flags = self._usual.flags(samples)
        expected = self._usual.expected(samples)
        share = share_of(flags)
        least = self.measure.least if self.measure.statistic == "failed" else self.measure.share
        reference = self.reference(length_us)
        statistic = max(self._usual.statistic(samples), self._extreme.statistic(samples))
        at_least = signed_root(min(records, expected + least * records), records, expected)
        enough = records > 0 and flags.sum() >= self._policy.least_deviating
        return Outcome(
            p_value=reference.p_value(statistic) if enough else 1.0,
            is_large=records > 0 and share - expected / records >= least,
            is_excluded=records >= self._policy.least_records
            and reference.distance(statistic, float(at_least)) >= SURE,
            baseline=self._shown_baseline,
            value=self._shown(samples),
            records=records,
            share=share,
            stretches=reference.stretches,
        )

    def deviating(self, samples: Samples, tested: NDArray[np.bool_]) -> Deviating:
        usual, extreme = self._usual.flags(samples), self._extreme.flags(samples)
        # An effect that lies within what happens now and then can be dated by its usual limit only.
        if extreme[tested].sum() >= usual[tested].sum() / 2:
            return Deviating(flags=extreme, natural=self._extreme.natural, share=share_of(extreme[tested]))
        return Deviating(flags=usual, natural=self._usual.natural, share=share_of(usual[tested]))

    @property
    def _quantile(self) -> float:
        if self.measure.share >= 0.3:
            return 0.5
        return 0.9 if self.measure.share >= 0.05 else 0.99

    def _statistics(
        self, begins: NDArray[np.intp], ends: NDArray[np.intp], edges_us: NDArray[np.int64], length_us: int
    ) -> Float64:
        del edges_us, length_us
        return np.maximum(self._usual.statistics(begins, ends), self._extreme.statistics(begins, ends))

    def _shown(self, samples: Samples) -> float:
        """The measure as people read it: a share, or a quantile in milliseconds."""
        if self.measure.statistic == "failed":
            return share_of(samples.failed)
        return float(np.quantile(samples.value, self._quantile)) if len(samples) else float("nan")


class _Limit:
    """A limit by stratum, and how many fault-free records lie beyond it.

    Args:
        samples: the fault-free records.
        sign: -1 where short durations deviate.
        limits: by stratum, that of all records last, times the sign; None for records that failed.
    """

    def __init__(self, samples: Samples, *, sign: int, limits: Float64 | None) -> None:
        self._sign = sign
        self._limits = limits
        flags = self.flags(samples)
        self._shares = _shares(samples.stratum, flags)
        self.natural = float(self._shares[-1])
        """Share of fault-free records beyond it, more than 0."""
        self._beyond = sums(flags)
        self._expected = sums(of_stratum(self._shares, samples.stratum))

    def flags(self, samples: Samples) -> NDArray[np.bool_]:
        """Of each record, whether it lies beyond."""
        if self._limits is None:
            return samples.failed
        beyond: NDArray[np.bool_] = self._sign * samples.value >= of_stratum(self._limits, samples.stratum)
        return beyond

    def expected(self, samples: Samples) -> float:
        """How many of these records would lie beyond without a fault."""
        return float(of_stratum(self._shares, samples.stratum).sum())

    def statistic(self, samples: Samples) -> float:
        """How far the records are from what is expected."""
        return float(signed_root(self.flags(samples).sum(), len(samples), self.expected(samples)))

    def statistics(self, begins: NDArray[np.intp], ends: NDArray[np.intp]) -> Float64:
        """The same of stretches of the fault-free records, given as rows; NaN without any."""
        return signed_root(
            self._beyond[ends] - self._beyond[begins],
            (ends - begins).astype(np.float64),
            self._expected[ends] - self._expected[begins],
        )


def signed_root(deviating: Float64 | float, records: Float64 | float, expected: Float64 | float) -> Float64:
    """The signed root of the likelihood ratio of two shares; NaN without records.

    About normal where records are independent; positive where more deviate than expected.

    Args:
        deviating: how many records deviate.
        records: how many there are.
        expected: how many of them deviate without a fault, more than none and fewer than all.
    """
    deviating, records, expected = (np.asarray(each, np.float64) for each in (deviating, records, expected))
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = _term(deviating, expected) + _term(records - deviating, records - expected)
        root: Float64 = np.sign(deviating - expected) * np.sqrt(np.maximum(2 * ratio, 0))
        return np.where(records > 0, root, np.nan)


def _term(count: Float64, expected: Float64) -> Float64:
    return np.where(count > 0, count * np.log(np.maximum(count, 1e-12) / expected), 0.0)


def _shares(stratum: NDArray[np.uint16], flags: NDArray[np.bool_]) -> Float64:
    """By stratum, the share of flagged records, drawn to that of all where there are few; all last."""
    size = int(stratum.max(initial=0)) + 1
    overall = (flags.sum() + 0.5) / (len(flags) + 1)
    counts = np.bincount(stratum, minlength=size)
    flagged = np.bincount(stratum, flags, minlength=size)
    shares: Float64 = np.append((flagged + _DRAWN * overall) / (counts + _DRAWN), overall)
    return np.minimum(shares, _MOST_NATURAL)


def _limits(measure: Measure, samples: Samples, sign: int) -> tuple[Float64, Float64]:
    """By stratum, what counts as slow, and what hardly ever happens; the last is of all records."""
    size = int(samples.stratum.max(initial=0)) + 2
    limits, extremes = np.full(size, np.nan), np.full(size, np.nan)
    for stratum in (*np.unique(samples.stratum).tolist(), size - 1):
        values = samples.value if stratum == size - 1 else samples.value[samples.stratum == stratum]
        if len(values):
            middle = float(np.median(values))
            limits[stratum] = sign * middle + max(measure.least, _LEAST_FACTOR * middle)
            rare = float(np.quantile(sign * values, 1 - RARE, method="higher"))
            extremes[stratum] = max(limits[stratum], rare)
    return limits, extremes
