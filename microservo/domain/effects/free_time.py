"""The fault-free time of a service, as one stretch: what lies between is taken out."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from microservo.domain.telemetry import Int64

Span = tuple[int, int]
"""First instant, and the first one after; microseconds UTC."""


class FreeTime:
    """The time in [begin, end) without some spans of time.

    Args:
        begin_us: microseconds UTC, likewise `end_us`.
        taken: what is no part of it, in any order.

    Example:
        >>> FreeTime(0, 100, [(20, 50)]).total_us
        70
    """

    def __init__(self, begin_us: int, end_us: int, taken: Iterable[Span]) -> None:
        left = without([(begin_us, end_us)], taken)
        self._begins = np.array([begin for begin, _ in left], np.int64)
        self._ends = np.array([end for _, end in left], np.int64)
        lengths = self._ends - self._begins
        self._before = np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths)))
        self.total_us = int(self._before[-1])

    def holds(self, begin_us: Int64, end_us: Int64) -> NDArray[np.bool_]:
        """Of each record, whether it began and ended in one piece of this time."""
        if not self.total_us:
            return np.zeros(len(begin_us), np.bool_)
        piece = np.maximum(np.searchsorted(self._begins, begin_us, side="right") - 1, 0)
        held: NDArray[np.bool_] = (begin_us >= self._begins[piece]) & (end_us <= self._ends[piece])
        return held

    def elapsed_us(self, times_us: Int64) -> Int64:
        """How much of this time had gone by at instants that lie in it."""
        piece = np.maximum(np.searchsorted(self._begins, times_us, side="right") - 1, 0)
        elapsed: Int64 = self._before[piece] + (times_us - self._begins[piece])
        return elapsed


def without(spans: Iterable[Span], taken: Iterable[Span]) -> list[Span]:
    """What is left of spans of time, in order.

    Example:
        >>> without([(0, 10), (20, 30)], [(5, 25)])
        [(0, 5), (25, 30)]
    """
    left = sorted(spans)
    for begin, end in taken:
        left = [
            piece
            for first, last in left
            for piece in ((first, min(last, begin)), (max(first, end), last))
            if piece[0] < piece[1]
        ]
    return left


def newest(spans: Iterable[Span], length_us: int) -> list[Span]:
    """The last part of some spans, at most so long in all.

    Example:
        >>> newest([(0, 10), (20, 30)], 15)
        [(5, 10), (20, 30)]
    """
    found: list[Span] = []
    for begin, end in sorted(spans, reverse=True):
        if length_us <= 0:
            break
        found.append((max(begin, end - length_us), end))
        length_us -= end - begin
    return found[::-1]
