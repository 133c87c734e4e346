"""From deviating records to the intervals in which a series left its normal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log

import numpy as np
from numpy.typing import NDArray

from microservo.domain.labels import JOINED_US
from microservo.domain.telemetry import Int64

_DROP = 5.0
"""Records that speak against an effect with odds of 150 to 1 (the logarithm of it) end it."""
_STRONG = 8.0
"""An interval has odds of 3000 to 1 in its favour: more than one record that deviates by itself."""
_MOST_SHARE = 0.8
"""Also where all records deviate, a few normal ones may lie between them."""


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


def runs(
    times_us: Int64,
    deviates: NDArray[np.bool_],
    *,
    natural: float,
    share: float,
    pause_us: int,
    partly: NDArray[np.bool_] | None = None,
    only_strong: bool = False,
) -> list[Interval]:
    """The intervals of a series of records.

    Each record speaks for the effect or against it, by how likely it is with it and without it. An interval
    begins and ends with a deviating record; it ends when the records behind speak against it as clearly as
    few that are normal by chance would. What speaks for it too little happens without faults as well, and is
    left out. Intervals with less than `pause_us` between them are one.

    Args:
        times_us: event times, ascending, shape (records,).
        deviates: of each record, likewise.
        natural: share of records that deviate without a fault, more than 0.
        share: of those that deviate while the fault is in force.
        pause_us: microseconds.
        partly: of each record, whether it belongs to an interval that begins right behind it.
        only_strong: leave out what has lower odds; else the best stands where there is no other.

    Source: maximal segments with a drop, as in Altschul et al., Basic local alignment search tool, 1990.
    """
    share = min(max(share, 2 * natural), _MOST_SHARE)
    gain, loss = log(share / natural), log((1 - natural) / (1 - share))
    found: list[tuple[float, int, int]] = []
    first, best, at_best, score, last = -1, 0.0, -1, 0.0, -1
    for place in deviates.nonzero()[0].tolist():
        if first >= 0:
            score -= loss * (place - last - 1)
            if score <= best - _DROP or score <= 0:
                found.append((best, first, at_best))
                first = -1
        if first < 0:
            first, score, best = place, 0.0, 0.0
        score += gain
        last = place
        if score >= best:
            best, at_best = score, place
    if first >= 0:
        found.append((best, first, at_best))
    strong = [each for each in found if each[0] >= _STRONG]
    if not strong and not only_strong:
        strong = sorted(found)[-1:]
    found = [(best, _begun(first, partly), last) for best, first, last in strong]
    return merged([_interval(times_us, first, last) for _, first, last in found], pause_us)


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


def stretches(times_us: Int64, within: Sequence[Interval], after_us: int, least: int) -> list[Interval]:
    """Where records lie close together.

    Args:
        times_us: event times of the records, ascending.
        within: only those in one of these intervals count.
        after_us: they all lie behind this instant.
        least: records that a stretch needs unless it follows that instant closely; one may be chance.
    """
    found = []
    for interval in within:
        first, last = np.searchsorted(times_us, (interval.start_us, interval.end_us + 1)).tolist()
        inside = times_us[first:last]
        for part in np.split(inside, np.flatnonzero(np.diff(inside) >= JOINED_US) + 1):
            if len(part) >= least or (len(part) and part[0] < after_us + JOINED_US):
                found.append(Interval(start_us=int(part[0]), end_us=int(part[-1])))
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


def _begun(first: int, partly: NDArray[np.bool_] | None) -> int:
    """Where an interval begins, whose first record is this one if the one before holds no part of it."""
    return first - 1 if first and partly is not None and partly[first - 1] else first


def _interval(times_us: Int64, first: int, last: int) -> Interval:
    start_us, end_us = int(times_us[first]), int(times_us[last])
    return Interval(
        start_us=start_us,
        end_us=end_us,
        start_within_us=start_us - int(times_us[first - 1]) if first else None,
        end_within_us=int(times_us[last + 1]) - end_us if last + 1 < len(times_us) else None,
    )
