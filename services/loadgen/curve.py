"""How the load moves over time: a pure function of the seed."""

from __future__ import annotations

import math
import random

from microservo.domain.topology import Load

# However the noise falls, some users come.
_LEAST = 0.05


class LoadCurve:
    """What the rate is multiplied by at an instant; 1 on the average.

    Args:
        load: how it moves.
        seed: decides where in its day it begins, and the noise.
    """

    def __init__(self, load: Load, seed: int) -> None:
        self._load = load
        self._seed = seed
        self._phase = random.Random(f"{seed}/load").uniform(0.0, 2 * math.pi)

    def __call__(self, time_s: float) -> float:
        """The factor so many seconds after the load began."""
        angle = 2 * math.pi * time_s / self._load.period_s + self._phase
        return max(_LEAST, (1 + self._load.amplitude * math.sin(angle)) * self._noise(time_s))

    def _noise(self, time_s: float) -> float:
        number = math.floor(time_s / self._load.noise_s)
        return random.Random(f"{self._seed}/load/{number}").lognormvariate(0.0, self._load.noise)
