"""What a statistic does without a fault, and how unlikely that makes what it did during one."""

from __future__ import annotations

from math import inf, sqrt

import numpy as np

from microservo.domain.effects.tails import upper_tail
from microservo.domain.telemetry import Float64

_LOCAL_US = 30_000_000
_LEAST_DEGREES = 4.0
"""With fewer, a distribution of Student has no fourth moment."""
_LEAST_SPREAD = 1.0
"""Every statistic has spread one if records are independent; fault-free stretches may only show more."""


class Reference:
    """The values of a statistic on fault-free stretches of one length, none overlapping another, in order.

    A value during a fault is held against all of these values, and against what came just before the fault;
    the larger of both probabilities counts. So neither a fault-free time that was quieter on the whole nor a
    load that drifts makes an effect. Nor does what fault-free stretches did themselves.

    Args:
        values: NaN where a stretch has no record, shape (stretches,).
        length_us: of each stretch.
        most_degrees: of freedom of Student's distribution; fewer where these values have outliers.
    """

    def __init__(self, values: Float64, length_us: int, most_degrees: int) -> None:
        values = values[np.isfinite(values)]
        self.stretches = len(values)
        self._values = np.sort(values)
        self._middle, self._spread = _location(values)
        self._degrees = min(float(most_degrees), _degrees(values, self._middle, self._spread))
        near = int(np.clip(round(_LOCAL_US / length_us), 2, 15))
        self._near: tuple[float, float, int] | None = None
        if len(values) >= 2 * near + 4:
            sums = np.concatenate((np.zeros(1), np.cumsum(values)))
            before = (sums[near:-1] - sums[: -near - 1]) / near
            differences = values[near:] - before
            self._near = (float(values[-near:].mean()), _spread(differences, 0.0), len(differences))

    def p_value(self, value: float) -> float:
        """The probability of such a value, or a larger one, without a fault."""
        found = self._tail((value - self._middle) / self._spread, self.stretches)
        beyond = len(self._values) - int(np.searchsorted(self._values, value))
        if beyond:
            # It was there without a fault, so no curve may say that it is rarer.
            found = max(found, (beyond + 1) / (self.stretches + 1))
        if self._near is not None:
            before, spread, count = self._near
            found = max(found, self._tail((value - before) / spread, count))
        return found

    def distance(self, value: float, other: float) -> float:
        """How far one value lies below another, in units of what it does by itself."""
        return (other - value) / self._spread

    def _tail(self, t: float, stretches: int) -> float:
        # The middle and the spread are estimates of so many stretches, too.
        return upper_tail(t / sqrt(1 + 1 / stretches), min(stretches - 1, self._degrees))


def _location(values: Float64) -> tuple[float, float]:
    if len(values) < 2:
        return 0.0, _LEAST_SPREAD
    middle = float(np.median(values))
    return middle, _spread(values, middle)


def _degrees(values: Float64, middle: float, spread: float) -> float:
    """The degrees of freedom of the distribution of Student that has such outliers (by its fourth moment)."""
    if not len(values):
        return _LEAST_DEGREES
    excess = float(np.mean(((values - middle) / spread) ** 4)) - 3
    return _LEAST_DEGREES + 6 / excess if excess > 0 else inf


def _spread(values: Float64, middle: float) -> float:
    """The standard deviation about `middle`: outliers are to count, for they will come again."""
    return max(_LEAST_SPREAD, sqrt(float(np.square(values - middle).sum()) / (len(values) - 1)))
