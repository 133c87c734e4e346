"""Numbers spread over all 64 bits, in columns."""

from __future__ import annotations

import numpy as np

from microservo.domain.telemetry import UInt64

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""Added from number to number, it gives the sequence of splitmix64."""


def mixed(numbers: UInt64) -> UInt64:
    """Every bit of a number spread over all others; different numbers stay different.

    Source: the finaliser of splitmix64; Steele, Lea and Flood, "Fast splittable pseudorandom number
    generators", OOPSLA 2014.

    Example:
        >>> mixed(np.array([0, 1], np.uint64)).tolist()
        [0, 6238072747940578789]
    """
    spread = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    spread = (spread ^ (spread >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return spread ^ (spread >> np.uint64(31))
