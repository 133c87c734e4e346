"""From deviating records to the intervals in which a series left its normal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log

import numpy as np
from numpy.typing import NDArray

from microservo.domain.telemetry import Int64

_LEAST_NORMAL = 5
_CHANCE = 0.01
_STRONG = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A stretch of time in which records deviated; microseconds UTC.

    Attributes:
        start_us: event time of the first deviating record.
        end_us: of the last one.
        start_within_us: it began at most so long before; None where that is not known.
        end_within_us: it ended at most so long after, likewise.
    """

    start_us: int
    end_us: int
    start_within_us: int | None = None
    end_within_us: int | None = None


def runs(times_us: Int64, deviates: NDArray[np.bool_], share: float, pause_us: int) -> list[Interval]:
    """The intervals of a series of records.

    A run of normal records that is too long for the share of deviating ones ends an interval, and what
    deviates alone is left out: that happens without faults too. Intervals with less than `pause_us` between
    them are one.

    Args:
        times_us: event times, ascending, shape (records,).
        deviates: of each record, likewise.
        share: of records that deviate while the fault is in force.
        pause_us: microseconds.
    """
    places = deviates.nonzero()[0]
    if not len(places):
        return []
    bearable = max(_LEAST_NORMAL, log(_CHANCE) / log(1 - min(max(share, 0.01), 0.9)))
    groups = np.split(places, (np.diff(places) - 1 > bearable).nonzero()[0] + 1)
    strong = [group for group in groups if len(group) >= _STRONG] or [max(groups, key=len)]
    return merged([_interval(times_us, int(group[0]), int(group[-1])) for group in strong], pause_us)


def silences(times_us: Int64, usual_gap_us: int, from_us: int, until_us: int) -> list[Interval]:
    """Where no record begins for longer than is usual.

    Args:
        times_us: begins of records, ascending.
        usual_gap_us: hardly ever lies more between two records.
        from_us: silences that end before are left out; microseconds UTC.
        until_us: what was looked at; a silence that reaches it goes on.
    """
    edges = np.append(times_us, until_us)
    found = []
    for before_us, after_us in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        if after_us - before_us > usual_gap_us and after_us >= from_us:
            start_us = before_us + usual_gap_us
            is_over = after_us < until_us
            found.append(
                Interval(
                    start_us=start_us,
                    end_us=after_us,
                    start_within_us=usual_gap_us,
                    end_within_us=0 if is_over else None,
                )
            )
    return found


def merged(intervals: Sequence[Interval], pause_us: int) -> list[Interval]:
    """The intervals in order, those with less than `pause_us` between them as one."""
    found: list[Interval] = []
    for each in sorted(intervals, key=lambda interval: (interval.start_us, interval.end_us)):
        if found and each.start_us - found[-1].end_us < pause_us:
            if each.end_us > found[-1].end_us:
                found[-1] = replace(found[-1], end_us=each.end_us, end_within_us=each.end_within_us)
        else:
            found.append(each)
    return found


def _interval(times_us: Int64, first: int, last: int) -> Interval:
    start_us, end_us = int(times_us[first]), int(times_us[last])
    return Interval(
        start_us=start_us,
        end_us=end_us,
        start_within_us=start_us - int(times_us[first - 1]) if first else None,
        end_within_us=int(times_us[last + 1]) - end_us if last + 1 < len(times_us) else None,
    )
