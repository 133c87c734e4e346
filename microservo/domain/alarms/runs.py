"""How high scores must be, so many times in a row, that it happens as seldom as is asked for.

One score that is exceeded once in hours lies beyond all that minutes show. Three in a row that seldom need
only be such as come each 20th time, if scores are independent, and that minutes do show. Where scores are not
independent, three in a row come more often: how much is measured too.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LENGTHS = (1, 2, 3, 6)
"""So many scores in a row are looked at: the more, the less each need be, and the later it is known."""
_TAIL_POWER = 3.0
"""Beyond what was seen, what exceeds x is taken to come as seldom as 1 / x^3, as of Student's t of three
degrees of freedom; where the tail is lighter it comes more seldom."""
_STEPS = 40


def row_minima(values: Floats, length: int) -> Floats:
    """The smallest of each `length` values in a row: what all of them reach."""
    if len(values) < length:
        return np.empty(0)
    windows = np.lib.stride_tricks.sliding_window_view(values, length)
    smallest: Floats = windows.min(axis=1)
    return smallest


def exponent(series: Sequence[Floats], length: int) -> float:
    """How `length` values in a row exceed a level that one of them exceeds with chance p: p to this power.

    It is `length` where values are independent, and 1 where they stay as they are; never more than `length`.

    Values are told by their surprise, minus the logarithm of how often as much is reached, which is
    exponential with mean 1. The smallest surprise in a row has then the mean 1 / power. Its mean square is
    compared, which large ones weigh more in: it is they that make alarms, and they may stay together where
    usual ones don't. With ties it is that of the distribution as it is.

    Args:
        series: values of each service, in order of time.
        length: how many in a row.

    Source: the coefficient of tail dependence is 1 / power: Ledford and Tawn, "Statistics for near
    independence in multivariate extreme values", Biometrika 83 (1996).
    """
    ranked = np.sort(np.concatenate(series))
    surprises = [_surprises(ranked, values) for values in series]
    smallest = np.concatenate([row_minima(values, length) for values in surprises])
    if not len(smallest):
        return float(length)
    steps, counts = np.unique(np.concatenate(surprises), return_counts=True)
    widths = np.diff(steps**2, prepend=0.0)
    reached = np.cumsum(counts[::-1])[::-1] / len(ranked)
    seen, low, high = float((smallest**2).mean()), 1.0, float(length)
    for _ in range(_STEPS):
        power = (low + high) / 2
        low, high = (power, high) if float(widths @ reached**power) > seen else (low, power)
    return high


def level(ranked: Floats, power: float, chance: float, least_rank: int = 1) -> float:
    """What values in a row all exceed with this chance, on the average over what values might have been seen.

    It is the largest rank whose expected chance is no larger. Where even the highest usable one is exceeded
    more often, it is multiplied, by how the tail falls off at the slowest.

    Args:
        ranked: in order, and told from their centre: 0 is the usual.
        power: of these in a row (`exponent`).
        chance: above 0.
        least_rank: 1 if the largest value tells of the tail, 2 if only the second largest does.
    """
    count = len(ranked)
    rank = bisect_right(range(1, count + 1), chance, key=lambda each: expected(each, count, power))
    if rank >= least_rank:
        return float(ranked[count - rank])
    least_rank = min(least_rank, count)
    times = expected(least_rank, count, power) / chance
    return float(ranked[count - least_rank]) * math.pow(max(1.0, times), 1 / (_TAIL_POWER * power))


def expected(rank: int, count: int, power: float) -> float:
    """The chance that as many in a row as `power` says exceed the value of this rank among so many before.

    How often one exceeds it has the beta distribution of (rank, count + 1 - rank), whatever the values are
    distributed like; this is the mean of its power. For one in a row it is rank / (count + 1).
    """
    return math.exp(
        math.lgamma(rank + power)
        - math.lgamma(rank)
        + math.lgamma(count + 1)
        - math.lgamma(count + 1 + power)
    )


def _surprises(ranked: Floats, values: Floats) -> Floats:
    """Minus the logarithm of the share of all values that are as large."""
    as_large = len(ranked) - np.searchsorted(ranked, values, side="left")
    surprises: Floats = -np.log(as_large / len(ranked))
    return surprises
