"""What a service does without faults, measure by measure, and what a stretch of telemetry says against it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microservo.domain.effects.free_time import FreeTime
from microservo.domain.effects.history import Samples
from microservo.domain.effects.policy import EffectPolicy
from microservo.domain.effects.reference import Reference
from microservo.domain.faults.base import Measure
from microservo.domain.telemetry import Float64

_LEAST_RECORDS = 20
"""Fault-free records without which nothing is known of a measure."""
_MOST_STRETCHES = 400
_SURE = 2.0
"""An effect of the least size is ruled out where it would lie so many spreads above what was found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one test says of the records that began in a stretch.

    Attributes:
        p_value: probability of this without a fault, for this test alone.
        is_large: the movement is at least the smallest that matters.
        is_excluded: such a movement would have been seen, and was not there.
        baseline: the measure in the fault-free time, in its unit; likewise `value` in the stretch.
        records: that were tested.
        share: of them that deviate.
        stretches: independent fault-free stretches of the same length.
    """

    p_value: float
    is_large: bool
    is_excluded: bool
    baseline: float
    value: float
    records: int
    share: float
    stretches: int


class Baseline(ABC):
    """The fault-free records of one measure.

    Args:
        measure: what is measured.
        samples: fault-free records.
        free: the time that they come from.
        policy: rates and bounds.
    """

    def __init__(self, measure: Measure, samples: Samples, free: FreeTime, policy: EffectPolicy) -> None:
        self.measure = measure
        self.free_us = free.total_us
        self._policy = policy
        self._elapsed_us = free.elapsed_us(samples.begin_us)
        self._references: dict[int, Reference] = {}
        longest_us = free.total_us // policy.least_stretches
        self.longest_us = min(policy.longest_us, longest_us)
        """The longest stretch that there are enough fault-free ones of."""
        self.settle_us = _settle_us(samples)
        """After which nearly every record that began has ended."""

    def end_us(self, at_us: int, end_us: int) -> int:
        """Where a stretch ends for a look at `at_us`, if the fault ends at `end_us`; microseconds UTC."""
        return min(at_us - self.settle_us, end_us)

    @property
    def is_known(self) -> bool:
        """Whether there are enough fault-free records to test anything."""
        return len(self._elapsed_us) >= _LEAST_RECORDS and self.longest_us >= self._policy.shortest_us

    @property
    @abstractmethod
    def name(self) -> str:
        """Of the statistic, as the end of a feature's name."""

    @abstractmethod
    def test(self, samples: Samples, length_us: int) -> Outcome:
        """Tests the records that began in a stretch of a length."""

    @abstractmethod
    def deviating(self, samples: Samples, share: float) -> NDArray[np.bool_]:
        """Of each record, whether it lies where fault-free ones hardly do.

        Args:
            samples: any records of the measure.
            share: of deviating records during the fault, as the test found it.
        """

    def reference(self, length_us: int) -> Reference:
        """The statistic on fault-free stretches of a length."""
        if length_us not in self._references:
            count = min(self.free_us // max(length_us, 1), _MOST_STRETCHES)
            edges_us = self.free_us - length_us * np.arange(count, -1, -1)
            rows = np.searchsorted(self._elapsed_us, edges_us)
            self._references[length_us] = Reference(
                self._statistics(rows[:-1], rows[1:], edges_us, length_us),
                length_us,
                self._policy.most_degrees,
            )
        return self._references[length_us]

    @abstractmethod
    def _statistics(
        self, begins: NDArray[np.intp], ends: NDArray[np.intp], edges_us: NDArray[np.int64], length_us: int
    ) -> Float64:
        """The statistic on stretches, given as rows of the fault-free records; NaN where it has none."""


class ShareBaseline(Baseline):
    """The share of records that failed, or that took longer than is usual among their like."""

    def __init__(self, measure: Measure, samples: Samples, free: FreeTime, policy: EffectPolicy) -> None:
        super().__init__(measure, samples, free, policy)
        self._sign = 1 if measure.direction == "up" else -1
        self._limits, self._extremes = self._boundaries(samples)
        flags = self._flags(samples)
        self._natural = _shares(samples.stratum, flags)
        self._flagged = _sums(flags)
        self._expected = _sums(_of(self._natural, samples.stratum))
        self._values = np.sort(samples.value)
        self._mean = float(flags.mean()) if len(flags) else 0.0

    @property
    def name(self) -> str:
        return "error_share" if self.measure.statistic == "failed" else f"p{round(100 * self._quantile)}_ms"

    def test(self, samples: Samples, length_us: int) -> Outcome:
        flags = self._flags(samples)
        records, deviating = len(samples), int(flags.sum())
        expected = float(_of(self._natural, samples.stratum).sum())
        least = self.measure.least if self.measure.statistic == "failed" else self.measure.share
        reference = self.reference(length_us)
        statistic = float(signed_root(*_arrays(deviating, records, expected))[0])
        at_least = float(
            signed_root(*_arrays(min(records, expected + least * records), records, expected))[0]
        )
        share = deviating / records if records else 0.0
        enough = deviating >= self._policy.least_deviating
        return Outcome(
            p_value=reference.p_value(statistic) if records and enough else 1.0,
            is_large=records > 0 and share - expected / records >= least,
            is_excluded=records >= self._policy.least_records
            and reference.distance(statistic, at_least) >= _SURE,
            baseline=self._shown(None),
            value=self._shown(samples),
            records=records,
            share=share,
            stretches=reference.stretches,
        )

    def deviating(self, samples: Samples, share: float) -> NDArray[np.bool_]:
        flags = self._flags(samples)
        if self.measure.statistic == "failed":
            return flags
        extreme = self._beyond(samples, self._extremes)
        # An effect that lies within what happens now and then can be dated by its usual limit only.
        return extreme if extreme.sum() >= flags.sum() / 2 else flags

    @property
    def _quantile(self) -> float:
        if self.measure.share >= 0.3:
            return 0.5
        return 0.9 if self.measure.share >= 0.05 else 0.99

    def _flags(self, samples: Samples) -> NDArray[np.bool_]:
        return samples.failed if self.measure.statistic == "failed" else self._beyond(samples, self._limits)

    def _beyond(self, samples: Samples, limits: Float64) -> NDArray[np.bool_]:
        beyond: NDArray[np.bool_] = self._sign * samples.value >= _of(limits, samples.stratum)
        return beyond

    def _boundaries(self, samples: Samples) -> tuple[Float64, Float64]:
        """By stratum, what counts as slow, and what hardly ever happens; the last is of all records."""
        size = int(samples.stratum.max(initial=0)) + 2
        limits, extremes = np.full(size, np.nan), np.full(size, np.nan)
        for stratum in (*np.unique(samples.stratum).tolist(), size - 1):
            values = samples.value if stratum == size - 1 else samples.value[samples.stratum == stratum]
            if len(values):
                middle = float(np.median(values))
                limits[stratum] = self._sign * middle + max(self.measure.least, _LEAST_FACTOR * middle)
                rare = float(np.quantile(self._sign * values, 1 - _RARE, method="higher"))
                extremes[stratum] = max(limits[stratum], rare)
        return limits, extremes

    def _statistics(
        self, begins: NDArray[np.intp], ends: NDArray[np.intp], edges_us: NDArray[np.int64], length_us: int
    ) -> Float64:
        del edges_us, length_us
        return signed_root(
            self._flagged[ends] - self._flagged[begins],
            (ends - begins).astype(np.float64),
            self._expected[ends] - self._expected[begins],
        )

    def _shown(self, samples: Samples | None) -> float:
        """The measure as people read it: a share, or a quantile in milliseconds."""
        if self.measure.statistic == "failed":
            return self._mean if samples is None else float(samples.failed.mean()) if len(samples) else 0.0
        values = self._values if samples is None else samples.value
        return float(np.quantile(values, self._quantile)) if len(values) else float("nan")


class CountBaseline(Baseline):
    """How many records begin in a stretch, against the rate just before."""

    def __init__(self, measure: Measure, samples: Samples, free: FreeTime, policy: EffectPolicy) -> None:
        super().__init__(measure, samples, free, policy)
        self._sign = 1 if measure.direction == "up" else -1
        gaps_us = np.diff(self._elapsed_us)
        self.usual_gap_us = int(np.quantile(gaps_us, 1 - _RARE, method="higher")) if len(gaps_us) else 0
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
        return Outcome(
            p_value=reference.p_value(statistic) if expected >= self._policy.least_records else 1.0,
            is_large=moved >= self.measure.least,
            is_excluded=expected >= self._policy.least_records
            and reference.distance(statistic, at_least) >= _SURE,
            baseline=expected,
            value=float(records),
            records=records,
            share=max(0.0, moved),
            stretches=reference.stretches,
        )

    def deviating(self, samples: Samples, share: float) -> NDArray[np.bool_]:
        # What is missing has no records; the silence between them is looked for (`intervals.silences`).
        return np.zeros(len(samples), np.bool_)

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


class LevelBaseline(Baseline):
    """The mean of a metric's points, against the middle of its fault-free ones."""

    def __init__(self, measure: Measure, samples: Samples, free: FreeTime, policy: EffectPolicy) -> None:
        super().__init__(measure, samples, free, policy)
        self._sign = 1 if measure.direction == "up" else -1
        self._middles = _by_stratum(samples)
        moved = self._moved(samples)
        self._scale = max(float(moved.std()) if len(moved) else 0.0, measure.least / _LEAST_SCALES)
        rare = float(np.quantile(moved, 1 - _RARE, method="higher")) if len(moved) else 0.0
        self._extreme = max(measure.least / 2, rare)
        self._sums = _sums(moved)
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
        records = len(samples)
        mean = float(moved.mean()) if records else 0.0
        reference = self.reference(length_us)
        root = np.sqrt(records) / self._scale
        return Outcome(
            p_value=reference.p_value(float(mean * root)) if records else 1.0,
            is_large=mean >= self.measure.least,
            is_excluded=records > 0
            and reference.distance(float(mean * root), float(self.measure.least * root)) >= _SURE,
            baseline=self._mean,
            value=float(samples.value.mean()) if records else float("nan"),
            records=records,
            share=float((moved >= self._extreme).mean()) if records else 0.0,
            stretches=reference.stretches,
        )

    def deviating(self, samples: Samples, share: float) -> NDArray[np.bool_]:
        beyond: NDArray[np.bool_] = self._moved(samples) >= self._extreme
        return beyond

    def _moved(self, samples: Samples) -> Float64:
        moved: Float64 = self._sign * (samples.value - _of(self._middles, samples.stratum))
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


def baseline_of(measure: Measure, samples: Samples, free: FreeTime, policy: EffectPolicy) -> Baseline:
    """The baseline of a measure, from its fault-free records."""
    kinds: dict[str, type[Baseline]] = {"count": CountBaseline, "level": LevelBaseline}
    return kinds.get(measure.statistic, ShareBaseline)(measure, samples, free, policy)


def signed_root(deviating: Float64, records: Float64, expected: Float64) -> Float64:
    """The signed root of the likelihood ratio of two shares; NaN without records.

    About normal where records are independent; positive where more deviate than expected.

    Args:
        deviating: how many records deviate, shape (stretches,).
        records: how many there are.
        expected: how many of them deviate without a fault, more than none and fewer than all.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        rest = records - deviating
        ratio = _term(deviating, expected) + _term(rest, records - expected)
        root: Float64 = np.sign(deviating - expected) * np.sqrt(np.maximum(2 * ratio, 0))
        return np.where(records > 0, root, np.nan)


def _term(count: Float64, expected: Float64) -> Float64:
    return np.where(count > 0, count * np.log(np.maximum(count, 1e-12) / expected), 0.0)


def _difference(count: NDArray[np.int64] | Float64, expected: Float64) -> Float64:
    """How far a count is from what was expected; about normal (Anscombe's transform of Poisson counts)."""
    difference: Float64 = 2 * (np.sqrt(count + 0.375) - np.sqrt(expected + 0.375))
    return difference


def _shares(stratum: NDArray[np.uint16], flags: NDArray[np.bool_]) -> Float64:
    """By stratum, the share of flagged records, drawn to that of all where there are few; all last."""
    size = int(stratum.max(initial=0)) + 1
    overall = (flags.sum() + 0.5) / (len(flags) + 1)
    counts = np.bincount(stratum, minlength=size)
    flagged = np.bincount(stratum, flags, minlength=size)
    shares: Float64 = np.append((flagged + _DRAWN * overall) / (counts + _DRAWN), overall)
    return np.minimum(shares, _MOST_NATURAL)


def _by_stratum(samples: Samples) -> Float64:
    """By stratum, the median of the values; of all records last."""
    size = int(samples.stratum.max(initial=0)) + 2
    middles = np.full(size, np.nan)
    for stratum in np.unique(samples.stratum).tolist():
        middles[stratum] = np.median(samples.value[samples.stratum == stratum])
    middles[-1] = np.median(samples.value) if len(samples) else 0.0
    return middles


def _of(by_stratum: Float64, stratum: NDArray[np.uint16]) -> Float64:
    """The value of each record's stratum; that of all records for one that was not seen without faults."""
    values = by_stratum[np.minimum(stratum, len(by_stratum) - 1)]
    return np.where(np.isnan(values), by_stratum[-1], values)


def _sums(values: NDArray[Any]) -> Float64:
    """The sum of all values before each place, and of all; shape (values + 1,)."""
    sums = np.zeros(len(values) + 1)
    np.cumsum(values, out=sums[1:])
    return sums


def _arrays(*values: float) -> list[Float64]:
    return [np.array([value], np.float64) for value in values]


def _settle_us(samples: Samples) -> int:
    durations_us = samples.end_us - samples.begin_us
    if not len(durations_us):
        return 0
    return min(int(np.quantile(durations_us, 0.99)), _MOST_SETTLE_US)


_RARE = 0.002
_LEAST_FACTOR = 0.25
"""A duration that is longer by less than this part of the usual is not slow."""
_DRAWN = 2.0
_MOST_NATURAL = 0.98
_LEAST_SCALES = 8
"""A metric that never moves is taken to move by this part of what matters."""
_RATE_US = 60_000_000
_LEAST_RATE_US = 10_000_000
_MOST_SETTLE_US = 1_000_000
