"""The upper tail of a distribution, continued beyond what was seen of it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_TAIL = 0.1
"""The upper share of the values that its shape is taken from."""
_SHOWN = 10
"""So many values are expected above a quantile that is read off the values themselves."""
_USUAL = 40
"""So many values of the tail count as much as what is usual: that it falls off as an exponential one."""
_MOST_SHAPE = 0.5
_AS_GOOD_AS_ZERO = 1e-9
_MOST_BEYOND = 1.0
"""How far beyond the largest value a quantile may lie, in ranges of the tail that was seen."""


def upper_quantile(values: Floats, chance: float) -> tuple[float, bool]:
    """What a value exceeds with this chance, and whether it is more than the values show by themselves.

    Where the values can't show it, what exceeds their 90% quantile is taken for a generalised Pareto
    distribution, fitted by probability-weighted moments in closed form, and continued. Few values say little
    of its shape, so that is drawn to an exponential one's; and it is never continued by more than the range
    of the tail that was seen, beyond the largest value.

    Args:
        values: at least one, finite.
        chance: above 0 and below 1.

    Source: peaks over threshold, Pickands (1975); the moments, Hosking and Wallis, "Parameter and quantile
    estimation for the generalized Pareto distribution", Technometrics 29 (1987); as a threshold of anomaly
    scores, Siffer et al., "Anomaly detection in streams with extreme value theory", KDD 2017.
    """
    ranked = np.sort(values)
    if chance * len(ranked) >= _SHOWN:
        return float(np.quantile(ranked, 1 - chance)), False
    begin, largest = float(np.quantile(ranked, 1 - _TAIL)), float(ranked[-1])
    excess = ranked[ranked > begin] - begin
    if not len(excess):
        return largest, True
    shape = _shape(excess)
    # The mean of the excess is kept, whatever the shape was drawn to.
    scale = float(excess.mean()) * (1 - shape)
    times = len(excess) / len(ranked) / chance
    beyond = scale * (math.log(times) if abs(shape) < _AS_GOOD_AS_ZERO else (times**shape - 1) / shape)
    return min(begin + beyond, largest + _MOST_BEYOND * (largest - begin)), True


def _shape(excess: Floats) -> float:
    """The shape of the generalised Pareto distribution of what exceeds something; 0 is exponential.

    Args:
        excess: in order, above 0.
    """
    count = len(excess)
    mean = float(excess.mean())
    ranks = (np.arange(1, count + 1) - 0.35) / count
    weighted = float(((1 - ranks) * excess).mean())
    # Hosking and Wallis's k has the other sign.
    difference = mean - 2 * weighted
    shape = 2 - mean / difference if difference > _AS_GOOD_AS_ZERO * mean else -_MOST_SHAPE
    return min(_MOST_SHAPE, max(-_MOST_SHAPE, shape * count / (count + _USUAL)))
