"""How sure a value is: 95 % intervals over the faults that might have been injected instead.

Faults are drawn again with replacement, as many as there were, a thousand times; a fault that is visible at
several services comes with all of them. The interval lies between the 2.5th and the 97.5th percentile of
the values so obtained. The draws depend on the seed and on the names of the faults, not on their order.

Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan

import numpy as np

from microservo.domain.scoring.ratios import quantile
from microservo.domain.scoring.series import Float64

REPETITIONS = 1000
_LOW, _HIGH = 0.025, 0.975


@dataclass(frozen=True, slots=True)
class Interval:
    """The ends of a 95 % interval; NaN where the value is defined in no repetition."""

    low: float
    high: float


def fault_weights(fault_ids: Sequence[str], *, seed: int, repetitions: int = REPETITIONS) -> Float64:
    """How often each fault is drawn, shape (repetitions, len(fault_ids)); the same for the same fault.

    Args:
        fault_ids: of cases; a fault may have several.
        seed: of the draws.
        repetitions: how many times faults are drawn.
    """
    faults, place = np.unique(np.array(fault_ids, dtype=np.str_), return_inverse=True)
    count = len(faults)
    if not count:
        return np.zeros((repetitions, 0))
    # Raw bits, for only these are promised to stay the same in other versions of NumPy.
    raw = np.random.PCG64(seed).random_raw(repetitions * count)
    drawn = ((raw >> np.uint64(11)).astype(np.float64) * 2.0**-53 * count).astype(np.int64)
    row = np.repeat(np.arange(repetitions), count)
    weights = np.bincount(row * count + drawn, minlength=repetitions * count).reshape(repetitions, count)
    return weights[:, place].astype(np.float64)


def intervals(replicates: Mapping[str, Float64]) -> Mapping[str, Interval]:
    """The interval of each metric from its values in the repetitions, without those where it is undefined."""
    found = {}
    for name, column in replicates.items():
        defined = column[~np.isnan(column)].tolist()
        found[name] = (
            Interval(quantile(defined, _LOW), quantile(defined, _HIGH)) if defined else Interval(nan, nan)
        )
    return found
