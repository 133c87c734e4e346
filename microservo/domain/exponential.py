"""Exponential histograms: their difference, and quantiles.

At scale s, bucket i holds what lies in (b ** i, b ** (i + 1)] with b = 2 ** 2 ** -s. One step down in scale
joins buckets 2 i and 2 i + 1, so that histograms of two scales are compared at the lower one.

Source: OpenTelemetry metrics data model, "ExponentialHistogram"; quantiles as Prometheus takes them of native
histograms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from microservo.domain.telemetry import Float64

_MAX_BUCKETS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Buckets:
    """The buckets of one exponential histogram.

    Attributes:
        scale: how fine they are.
        zeros: values that lie within `zero_threshold` of zero.
        offset: number of the first of `counts`.
        counts: positive values, bucket by bucket, shape (buckets,).
        negative_offset: likewise of negative values, by their magnitude.
        negatives: shape (buckets,).
    """

    scale: int
    zeros: float
    zero_threshold: float
    offset: int
    counts: Float64
    negative_offset: int
    negatives: Float64

    def minus(self, before: Self) -> Self:
        """What came since `before`, at the lower of both scales; never less than nothing."""
        scale = min(self.scale, before.scale)
        now, then = self.at_scale(scale), before.at_scale(scale)
        offset, counts = _less(now.offset, now.counts, then.offset, then.counts)
        negative_offset, negatives = _less(
            now.negative_offset, now.negatives, then.negative_offset, then.negatives
        )
        return replace(
            now,
            zeros=max(0.0, now.zeros - then.zeros),
            offset=offset,
            counts=counts,
            negative_offset=negative_offset,
            negatives=negatives,
        )

    def is_below(self, before: Self) -> bool:
        """Whether a bucket holds less than it did before, at the lower of both scales."""
        scale = min(self.scale, before.scale)
        now, then = self.at_scale(scale), before.at_scale(scale)
        return (
            now.zeros < then.zeros
            or _is_below(now.offset, now.counts, then.offset, then.counts)
            or _is_below(now.negative_offset, now.negatives, then.negative_offset, then.negatives)
        )

    def at_scale(self, scale: int) -> Self:
        """The same in coarser buckets."""
        steps = self.scale - scale
        if steps <= 0:
            return self
        offset, counts = _joined(self.offset, self.counts, steps)
        negative_offset, negatives = _joined(self.negative_offset, self.negatives, steps)
        return replace(
            self,
            scale=scale,
            offset=offset,
            counts=counts,
            negative_offset=negative_offset,
            negatives=negatives,
        )

    def quantiles(self, shares: Sequence[float]) -> list[float]:
        """The values below which those shares lie, NaN where there is no value at all.

        Example:
            >>> empty = np.zeros(0)
            >>> Buckets(
            ...     scale=0,
            ...     zeros=0,
            ...     zero_threshold=0,
            ...     offset=1,
            ...     counts=np.array([4.0]),
            ...     negative_offset=0,
            ...     negatives=empty,
            ... ).quantiles([0.5])
            [2.8284271247461903]
        """
        counts = np.concatenate((self.negatives[::-1], [self.zeros], self.counts))
        reached = np.cumsum(counts)
        if not reached[-1]:
            return [float("nan")] * len(shares)
        found = []
        for share in shares:
            rank = share * reached[-1]
            at = int(np.argmax(reached >= rank))
            within = 1 - (reached[at] - rank) / counts[at] if counts[at] else 0.0
            found.append(self._value(at, within))
        return found

    def _value(self, at: int, within: float) -> float:
        """What lies a share of the way through a bucket, counted from the most negative one."""
        number = at - len(self.negatives)
        if number < 0:
            return -self._power(self.negative_offset - number - within)
        if number > 0:
            return self._power(self.offset + number - 1 + within)
        low = -self.zero_threshold if self.negatives.any() else 0.0
        high = self.zero_threshold if self.counts.any() or not self.negatives.any() else 0.0
        return low + (high - low) * within

    def _power(self, index: float) -> float:
        return float(np.exp2(index * 2.0**-self.scale))


def _less(offset: int, counts: Float64, before_offset: int, before: Float64) -> tuple[int, Float64]:
    first, end = min(offset, before_offset), max(offset + len(counts), before_offset + len(before))
    # Numbers that lie so far apart are of two histograms, or somebody's joke.
    if not before.any() or not len(counts) or end - first > _MAX_BUCKETS:
        return offset, counts
    rest = np.zeros(end - first)
    rest[offset - first : offset - first + len(counts)] = counts
    rest[before_offset - first : before_offset - first + len(before)] -= before
    return first, np.maximum(rest, 0.0)


def _is_below(offset: int, counts: Float64, before_offset: int, before: Float64) -> bool:
    held = np.flatnonzero(before)
    places = held + (before_offset - offset)
    is_kept = (places >= 0) & (places < len(counts))
    return not bool(is_kept.all()) or bool((counts[places] < before[held]).any())


def _joined(offset: int, counts: Float64, steps: int) -> tuple[int, Float64]:
    if not len(counts):
        return offset >> steps, counts
    numbers = (np.arange(len(counts)) + offset) >> steps
    first = int(numbers[0])
    return first, np.bincount(numbers - first, weights=counts).astype(np.float64)
