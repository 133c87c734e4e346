"""How values are told before they are compared, and how the deviations of features become one of a window."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from heapq import nlargest

_KEPT_NAMES = 4096


def log_scaled(value: float) -> float:
    """log(1 + |value|), with the sign of the value.

    What services take, hold and count has long tails: on this scale ten times as long is as far for each
    duration of some ms and more, while shares and what else is below 1 stay about as they are.
    """
    return math.copysign(math.log1p(abs(value)), value)


def size_of(level: float) -> float:
    """How far, on that scale, a value moves when it doubles: the share of it that moves by its own size."""
    return -math.expm1(-abs(level))


def furthest(windows: float) -> float:
    """How far a value can be from a past of so many windows and still belong to it, in standard deviations.

    In a sample of n, none is further than the root of n - 1 from the mean (Samuelson's inequality, 1968): so
    far is what came once. From such a past nobody can tell how much less usual it is what never came.
    """
    return math.sqrt(windows)


def damped(distance: float, furthest: float) -> float:
    """The distance, which beyond `furthest` grows as its logarithm."""
    return distance if distance <= furthest else furthest * (1 + math.log(distance / furthest))


@lru_cache(maxsize=_KEPT_NAMES)
def quantity_of(name: str) -> str:
    """What a feature is a statistic of: `request/*` of `request/*/p90_ms`."""
    return name.rpartition("/")[0]


def mean_of_largest(distances: Iterable[tuple[str, float]], top_k: int) -> float:
    """The mean of the `top_k` largest, of which each quantity has one; NaN without any.

    Statistics of one quantity move together, so that several of them agree says nothing.

    Args:
        distances: each feature and how far it is.
        top_k: how many quantities are averaged.
    """
    of_quantity: dict[str, float] = {}
    for name, distance in distances:
        quantity = quantity_of(name)
        if distance > of_quantity.get(quantity, -math.inf):
            of_quantity[quantity] = distance
    largest = nlargest(top_k, of_quantity.values())
    return sum(largest) / len(largest) if largest else math.nan
