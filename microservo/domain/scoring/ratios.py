"""Quotients and means that are the same to the last digit everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import fsum, nan

import numpy as np
from numpy.typing import ArrayLike

from microservo.domain.scoring.series import Float64


def ratio(part: ArrayLike, whole: ArrayLike) -> Float64:
    """`part / whole`, NaN where `whole` is 0; elementwise."""
    parts, wholes = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    safe = np.where(wholes == 0, np.nan, wholes)
    return np.asarray(parts / safe)


def harmonic(precision: ArrayLike, recall: ArrayLike) -> Float64:
    """F1 of a precision and a recall: 0 where one is 0 or there is no precision, NaN without a recall.

    An algorithm that never says anything has no precision; its F1 is 0 all the same.
    """
    found, said = np.asarray(recall, np.float64), or_zero(precision)
    return np.where(np.isnan(found), np.nan, or_zero(ratio(2 * said * found, said + found)))


def or_zero(values: ArrayLike) -> Float64:
    """0 where a value is NaN; elementwise."""
    given = np.asarray(values, np.float64)
    return np.where(np.isnan(given), 0.0, given)


def mean(values: Iterable[float]) -> float:
    """The mean, correctly rounded whatever the order; NaN of nothing."""
    listed = values if isinstance(values, list) else list(values)
    return fsum(listed) / len(listed) if listed else nan


def mean_of_defined(values: Iterable[float]) -> float:
    """The mean of those that are not NaN; NaN where all are."""
    return mean([value for value in values if value == value])  # noqa: PLR0124 -- NaN is unlike itself


def row_sums(values: Float64) -> Float64:
    """Sums of rows, added in the order of the columns, so that no machine changes a digit; 0 without any.

    Args:
        values: shape (rows, columns).
    """
    return values.cumsum(axis=1)[:, -1] if values.shape[1] else np.zeros(len(values))


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which a share of some lies, interpolated as NumPy does; NaN of nothing.

    Example:
        >>> quantile([4.0, 1.0, 2.0], 0.75)
        3.0
    """
    if not values:
        return nan
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
