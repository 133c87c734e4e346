"""What a service does without faults, measure by measure, and what a stretch of telemetry says against it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

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
_MOST_SETTLE_US = 1_000_000

RARE = 0.002
"""Share of fault-free records that lie beyond what "hardly ever happens"."""
SURE = 2.0
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviating:
    """Records that lie where fault-free ones hardly do.

    Attributes:
        flags: of each record.
        natural: share of fault-free records that do so too, more than 0.
        share: of those that began while the fault was in force.
        partly: of each record, whether it may hold the first part of an effect; None where a record holds
            all of it or nothing.
    """

    flags: NDArray[np.bool_]
    natural: float
    share: float
    partly: NDArray[np.bool_] | None = None


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
    def deviating(self, samples: Samples, tested: NDArray[np.bool_]) -> Deviating:
        """Which records lie where fault-free ones hardly do.

        Args:
            samples: any records of the measure.
            tested: those of them that began while the fault was in force.
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


def _settle_us(samples: Samples) -> int:
    durations_us = samples.end_us - samples.begin_us
    if not len(durations_us):
        return 0
    return min(int(np.quantile(durations_us, 0.99)), _MOST_SETTLE_US)
