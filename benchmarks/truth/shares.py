"""Shares with their confidence, and how well a score tells two classes apart."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_Z = 1.959964
"""Of a confidence of 95 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """So many of so many."""

    count: int
    total: int

    @property
    def value(self) -> float | None:
        """The share itself; None of nothing."""
        return self.count / self.total if self.total else None

    @property
    def interval(self) -> tuple[float, float]:
        """Where the true share lies with a confidence of 95 %.

        Source: Wilson, "Probable inference, the law of succession, and statistical inference", 1927.

        Example:
            >>> [round(bound, 4) for bound in Share(count=0, total=500).interval]
            [0.0, 0.0076]
        """
        if not self.total:
            return 0.0, 1.0
        share, z2 = self.count / self.total, _Z**2 / self.total
        middle = (share + z2 / 2) / (1 + z2)
        half = _Z * math.sqrt(share * (1 - share) / self.total + z2 / (4 * self.total)) / (1 + z2)
        # Where none or all of them count, rounding alone keeps a bound from being 0 or 1.
        low = middle - half if self.count else 0.0
        high = middle + half if self.count < self.total else 1.0
        return low, high

    def __str__(self) -> str:
        if self.value is None:
            return "none tried"
        low, high = self.interval
        return f"{self.count} of {self.total}: {self.value:.2%} [{low:.2%}, {high:.2%}]"


def area_under_curve(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float | None:
    """The chance that a positive has a higher score than a negative, ties by half; None without both.

    Args:
        scores: shape (windows,).
        positive: shape (windows,).

    Example:
        >>> area_under_curve(np.array([0.1, 0.9, 0.9]), np.array([False, True, False]))
        0.75
    """
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if not positives or not negatives:
        return None
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    return float((ranks[positive].sum() - positives * (positives + 1) / 2) / (positives * negatives))
