"""How late the telemetry of a service comes, by what has come: its windows wait as long.

An exporter gathers for a while before it sends, so that records are old when they arrive: by default up to a
second for log lines, five for spans. That is learned per signal, in periods::

    first record                                                       then minute by minute
    |---- 10 s ----|---- 10 s ----|---- 10 s ----|------ 60 s ------|------ 60 s ------| ...
                                  the least of 2  the middle of 3     raised after 2 worse, lowered after 5
                                                                      much better

What happens once (a start, a pause, a retry after an outage) is not how a source usually is: it fills one
period and changes nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from microservo.domain.telemetry import Int64, Signal
from microservo.domain.watermarks import MOST_DELAY_US

_STEP_US = 500_000
_BINS = MOST_DELAY_US // _STEP_US + 1
_COVERED = 0.999
_MARGIN_US = 500_000
_WARM_UP_US = 10_000_000
_WARM_UP_PERIODS = 3
_PERIOD_US = 60_000_000
_WORSE_PERIODS = 2
_BETTER_PERIODS = 5
_MUCH = 2
_GATHERED = 256
"""Arrivals whose ages are gathered before they are counted, so that small bodies cost little each."""


@dataclass(slots=True)
class _Ages:
    """Ages of the records of one signal: how many arrived at each, in steps of half a second."""

    since_us: int
    counts: Int64 = field(default_factory=lambda: np.zeros(_BINS, np.int64))
    gathered_us: list[Int64] = field(default_factory=list)
    needed_us: deque[int] = field(default_factory=lambda: deque(maxlen=_BETTER_PERIODS))
    periods: int = 0
    delay_us: int = 0

    def add(self, ages_us: Int64) -> None:
        """Adds the ages of records that arrived together."""
        self.gathered_us.append(ages_us)
        if len(self.gathered_us) >= _GATHERED:
            self.count_gathered()

    def count_gathered(self) -> None:
        """Brings `counts` up to date."""
        if self.gathered_us:
            bins = np.clip(np.concatenate(self.gathered_us) // _STEP_US, 0, _BINS - 1)
            self.counts += np.bincount(bins, minlength=_BINS)
            self.gathered_us.clear()


class Delays:
    """The delays of all services.

    Args:
        first_cut_us: what windows wait anyway.
        declared_us: delays that are known, by service; they are not learned.
    """

    def __init__(self, first_cut_us: int, declared_us: Mapping[str, int]) -> None:
        self._first_cut_us = first_cut_us
        self._declared_us = dict(declared_us)
        self._ages: dict[str, dict[Signal, _Ages]] = {}
        self._restored_us: dict[str, int] = {}

    def observe(self, service: str, signal: Signal, time_us: Int64, now_us: int) -> None:
        """Takes into account when records were made that arrive now, shape (records,)."""
        if service in self._declared_us:
            return
        of_service = self._ages.setdefault(service, {})
        ages = of_service.get(signal)
        if ages is None:
            ages = of_service[signal] = _Ages(now_us)
        self._advance(ages, now_us)
        ages.add(now_us - time_us)

    def delay_us(self, service: str, now_us: int) -> int:
        """How long windows of a service wait beyond their cuts, in microseconds: for its slowest signal."""
        if service in self._declared_us:
            return min(self._declared_us[service], MOST_DELAY_US)
        of_service = self._ages.get(service, {})
        for ages in of_service.values():
            self._advance(ages, now_us)
        learned_us = max((ages.delay_us for ages in of_service.values()), default=0)
        if any(ages.periods < _WARM_UP_PERIODS for ages in of_service.values()) or not of_service:
            return max(learned_us, self._restored_us.get(service, 0))
        return learned_us

    def restore(self, service: str, delay_us: int) -> None:
        """Sets what an earlier process has learned; it holds until this one has."""
        self._restored_us[service] = delay_us

    def forget(self, service: str) -> None:
        """Drops what was learned of a service that is gone."""
        self._ages.pop(service, None)
        self._restored_us.pop(service, None)

    def _advance(self, ages: _Ages, now_us: int) -> None:
        """Ends the period that is over, and draws the conclusion."""
        is_warm = ages.periods >= _WARM_UP_PERIODS
        if now_us < ages.since_us + (_PERIOD_US if is_warm else _WARM_UP_US):
            return
        ages.since_us = now_us
        ages.count_gathered()
        # A period in which nothing came says nothing.
        if ages.counts.any():
            ages.needed_us.append(self._needed_us(ages.counts))
            ages.counts[:] = 0
            ages.periods += 1
            ages.delay_us = _concluded(ages)

    def _needed_us(self, counts: Int64) -> int:
        """What nearly all records of a period would have needed."""
        within = np.cumsum(counts)
        step = int(np.searchsorted(within, _COVERED * within[-1]))
        oldest_us = (step + 1) * _STEP_US
        if oldest_us <= self._first_cut_us:
            return 0
        return min(oldest_us + _MARGIN_US - self._first_cut_us, MOST_DELAY_US)


def _concluded(ages: _Ages) -> int:
    needed_us = list(ages.needed_us)
    if ages.periods <= _WARM_UP_PERIODS:
        return 0 if ages.periods == 1 else sorted(needed_us)[(len(needed_us) - 1) // 2]
    worse = needed_us[-_WORSE_PERIODS:]
    if min(worse) > ages.delay_us:
        return min(worse)
    if len(needed_us) == _BETTER_PERIODS and max(needed_us) * _MUCH <= ages.delay_us:
        return max(needed_us)
    return ages.delay_us
