"""Scores in a row, and peaks of them: how high they must be to come as seldom as is asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from microservo.domain.alarms.tail import exceeded

Floats = NDArray[np.float64]

LENGTHS = (1, 2, 3, 6)
"""So many scores in a row are looked at: the more, the less each need be, and the later it is known."""
QUIET_WINDOWS = 2
"""So many windows in a row that are not high end a peak, and an alarm: one of them may be chance."""
_TAIL = 0.1
"""The upper share of the values that the tail is told from."""
_MANY_SERVICES = 3
"""With fewer, the largest peak of one can't be told from the tail of all."""


def row_minima(values: Floats, length: int) -> Floats:
    """The smallest of each `length` values in a row: what all of them reach."""
    if len(values) < length:
        return np.empty(0)
    windows = np.lib.stride_tricks.sliding_window_view(values, length)
    smallest: Floats = windows.min(axis=1)
    return smallest


def level(series: Sequence[Floats], chance: float) -> float | None:
    """What a peak begins to exceed in a window with this chance; None where no peak tells of it.

    Values that are high together are one peak, as they are one alarm. So nothing is asked about how values
    depend on those just before; only peaks are taken for independent.

    What only one service reached is not the tail of the others: it counts as at least what a second reached.

    Args:
        series: values of each service, in order of time.
        chance: above 0.

    Source: Davison and Smith, "Models for exceedances over high thresholds", J. R. Statist. Soc. B 52 (1990).
    """
    ranked = np.sort(np.concatenate(series))
    if not len(ranked):
        return None
    begin = _begin(ranked)
    of_service = [_peaks(values, begin) for values in series]
    peaks = np.concatenate(of_service)
    if not len(peaks):
        return None
    most = _reached_by_more_than_one(of_service, begin)
    times = (len(peaks) + 1) / (len(ranked) + 1) / chance
    if times <= 1:
        return begin
    return begin + exceeded(np.minimum(peaks, most) - begin, int((peaks > most).sum()), times)


def _begin(ranked: Floats) -> float:
    """The largest value that the upper share exceeds; the smallest where so many don't differ from it."""
    least = ranked[len(ranked) - math.ceil(_TAIL * len(ranked))]
    return float(ranked[max(0, int(np.searchsorted(ranked, least)) - 1)])


def _peaks(values: Floats, begin: float) -> Floats:
    """The largest value of each peak: of those above `begin` with fewer than `QUIET_WINDOWS` between them."""
    (above,) = np.nonzero(values > begin)
    if not len(above):
        return np.empty(0)
    starts = np.flatnonzero(np.diff(above, prepend=-math.inf) > QUIET_WINDOWS)
    largest: Floats = np.maximum.reduceat(values[above], starts)
    return largest


def _reached_by_more_than_one(peaks: Sequence[Floats], begin: float) -> float:
    """What at least two services reached, where there are many and two had peaks at all."""
    largest = sorted(float(each.max(initial=begin)) for each in peaks)
    return largest[-2] if len(largest) >= _MANY_SERVICES and largest[-2] > begin else largest[-1]
