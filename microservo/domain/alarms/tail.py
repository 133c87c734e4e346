"""The upper tail of a distribution, continued beyond what was seen of it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_LARGEST_POWER = 300.0
"""Of e, so that no product with a score overflows."""


def exceeded(excesses: Floats, censored: int, times: float) -> float:
    """What an excess exceeds once in so many times, on the average over what else might have been seen.

    Excesses are taken for exponential. A mean that is estimated from few of them and put in for the true one
    is exceeded far more often than it says. With the mean left open, x is exceeded with chance
    (1 + x / sum) ^ -number, exactly, whatever the mean is. Where the true tail is lighter it comes more
    seldom; where it is heavier more often, some times as often for Student's t of three degrees of freedom.

    Args:
        excesses: above 0.
        censored: of how many it is known only that they are at least so large; fewer than all.
        times: at least 1.

    Source: Aitchison and Dunsmore, "Statistical Prediction Analysis" (1975); exponential excesses are the
    middle between the bounded and the heavy ones of Pickands, Annals of Statistics 3 (1975).
    """
    power = math.log(times) / (len(excesses) - censored)
    return float(excesses.sum()) * math.expm1(min(_LARGEST_POWER, power))
