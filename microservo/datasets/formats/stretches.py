"""Stretches of time, sorted and apart from one another, and which instants lie in them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Instants = NDArray[np.int64]
SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Stretches:
    """Stretches [from, until), in microseconds UTC; both arrays have shape (stretches,)."""

    from_us: Instants
    until_us: Instants

    @classmethod
    def of(cls, pairs: Iterable[tuple[int, int]]) -> Self:
        """The time that some stretches take together, in whatever order, overlapping or not."""
        joined: list[list[int]] = []
        for begin, end in sorted(pairs):
            if begin >= end:
                continue
            if joined and begin <= joined[-1][1]:
                joined[-1][1] = max(joined[-1][1], end)
            else:
                joined.append([begin, end])
        both = np.array(joined, np.int64).reshape(-1, 2)
        return cls(both[:, 0].copy(), both[:, 1].copy())

    def contain(self, times_us: Instants) -> NDArray[np.bool_]:
        """Which instants lie in one of them."""
        if not len(self.from_us):
            return np.zeros(len(times_us), np.bool_)
        place = np.searchsorted(self.from_us, times_us, "right") - 1
        return (place >= 0) & (times_us < self.until_us[np.maximum(place, 0)])

    def touch(self, from_us: Instants, until_us: Instants) -> NDArray[np.bool_]:
        """Which of some spans [from, until) have time in common with one of them."""
        if not len(self.from_us):
            return np.zeros(len(from_us), np.bool_)
        # A span is touched by the last stretch that begins before its end, or by none.
        place = np.searchsorted(self.from_us, until_us, "left") - 1
        return (place >= 0) & (self.until_us[np.maximum(place, 0)] > from_us)

    def overlap(self, from_us: int, until_us: int) -> bool:
        """Whether one of them has time in common with [from, until)."""
        return bool(((self.from_us < until_us) & (self.until_us > from_us)).any())

    def seconds_between(self, from_us: int, until_us: int) -> tuple[Instants, NDArray[np.bool_]]:
        """The whole seconds of [from, until), in seconds since the epoch, and which of them are touched."""
        first = -(-from_us // SECOND_US)
        seconds = np.arange(first, max(first, until_us // SECOND_US), dtype=np.int64)
        # A second is touched by the last stretch that begins before its end, or by none.
        place = np.searchsorted(self.from_us, (seconds + 1) * SECOND_US, "left") - 1
        if not len(self.from_us):
            return seconds, np.zeros(len(seconds), np.bool_)
        touched = (place >= 0) & (self.until_us[np.maximum(place, 0)] > seconds * SECOND_US)
        return seconds, touched


def stretches_of_seconds(seconds: Instants) -> Stretches:
    """The time of some whole seconds since the epoch, sorted."""
    if not len(seconds):
        return Stretches.of(())
    breaks = np.flatnonzero(np.diff(seconds) > 1)
    firsts = seconds[np.concatenate(([0], breaks + 1))]
    lasts = seconds[np.concatenate((breaks, [len(seconds) - 1]))]
    return Stretches(firsts * SECOND_US, (lasts + 1) * SECOND_US)
