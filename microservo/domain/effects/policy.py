"""How the effect observer decides: rates, looks and bounds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """An instant at which all tests of a fault are made, and its part of the rate of false alarms.

    Attributes:
        at_us: event time; what ended before is looked at.
        weight: all looks of a fault have at most 1 together.
    """

    at_us: int
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectPolicy:
    """The rates, looks and bounds of the observer; durations in microseconds.

    Attributes:
        alpha: probability that any test of a fault at any look finds an effect where there is none.
        looks_us: after a fault was applied, while it is in force; then once in every last step.
        settled_us: after a fault was recovered: the looks at all that began while it was in force.
        settled_weights: parts of `alpha` that those looks have; the others share the rest.
        patience_us: after a fault was recovered, how long it is waited until another fault is over that may
            explain the same; then comes a last look.
        patience_weight: its part of `alpha`.
        least_stretches: independent fault-free stretches of the fault's length that a test needs.
        most_degrees: of freedom of the reference; few, since a machine's slow seconds are no bell curve.
        least_records: that must begin while the fault is in force.
        least_deviating: of them must deviate.
        longest_us: the longest stretch that is tested; of a longer fault the newest part.
        shortest_us: the shortest stretch; a shorter fault is tested for so long.
        normal_after_us: without a deviating record for so long, a service is back to normal.
        watched_us: after recovery; what is not over by then has no measured end.
        lag_us: how far behind the telemetry "not visible" is said of a fault that goes on.
        report_us: how often the progress of a finding is published.
        kept_us: how much telemetry is remembered.
    """

    alpha: float = 0.003
    looks_us: tuple[int, ...] = tuple(s * _SECOND_US for s in (1, 2, 3, 5, 8, 13, 20, 30, 45, 60, 90))
    settled_us: tuple[int, ...] = (2 * _SECOND_US, 6 * _SECOND_US)
    settled_weights: tuple[float, ...] = (0.35, 0.1)
    patience_us: int = 20 * _SECOND_US
    patience_weight: float = 0.05
    least_stretches: int = 8
    most_degrees: int = 10
    least_records: int = 3
    least_deviating: int = 3
    longest_us: int = 30 * _SECOND_US
    shortest_us: int = _SECOND_US // 2
    normal_after_us: int = 10 * _SECOND_US
    watched_us: int = 30 * _SECOND_US
    lag_us: int = 10 * _SECOND_US
    report_us: int = 2 * _SECOND_US
    kept_us: int = 1800 * _SECOND_US

    def looks(self, applied_us: int, recovered_us: int | None) -> Iterator[Look]:
        """The looks at a fault, in order; endless while it is in force."""
        rest = 1 - sum(self.settled_weights) - self.patience_weight
        for number, after_us in enumerate(self._schedule_us(), start=1):
            at_us = applied_us + after_us
            if recovered_us is not None and at_us >= recovered_us:
                break
            # One over the squares of all numbers comes to pi^2/6, so these stay below their share.
            yield Look(at_us=at_us, weight=rest * 0.6 / number**2)
        if recovered_us is not None:
            for after_us, weight in zip(self.settled_us, self.settled_weights, strict=True):
                yield Look(at_us=recovered_us + after_us, weight=weight)

    def _schedule_us(self) -> Iterator[int]:
        yield from self.looks_us
        step_us = self.looks_us[-1] - self.looks_us[-2]
        last_us = self.looks_us[-1]
        while True:
            last_us += step_us
            yield last_us
