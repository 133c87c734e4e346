"""Quantiles of histograms with explicit bounds, as Prometheus' `histogram_quantile` interpolates them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from microservo.domain.telemetry import Float64


def bucket_quantiles(bounds: Sequence[float], buckets: Float64, shares: Sequence[float]) -> Float64:
    """The values below which shares of each row lie, shape (rows, shares); NaN for a row without values.

    Within a bucket values are taken to lie evenly. The lowest one begins at 0 where its bound is above. Of
    what lies beyond the last bound nothing but that is known, so that bound is the answer.

    Args:
        bounds: upper bounds of the buckets but the last, rising; at least one.
        buckets: values in each, shape (rows, bounds + 1).
        shares: between 0 and 1.

    Example:
        >>> bucket_quantiles([10, 20], np.array([[1.0, 3.0, 0.0]]), [0.5])
        array([[13.33333333]])
    """
    upper = np.asarray(bounds, np.float64)
    lower = np.concatenate(([min(0.0, upper[0])], upper[:-1]))
    reached = np.cumsum(buckets, axis=1)
    rank = np.asarray(shares, np.float64) * reached[:, -1:]
    # Shape (rows, shares): the first bucket that reaches the rank.
    at = (reached[:, np.newaxis, :] < rank[:, :, np.newaxis]).sum(axis=2)
    inside = np.minimum(at, len(upper) - 1)
    row = np.arange(len(buckets))[:, np.newaxis]
    count = buckets[row, inside]
    missing = reached[row, inside] - rank
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(count > 0, 1 - missing / count, 1.0)
        value = lower[inside] + (upper[inside] - lower[inside]) * share
    value = np.where(at >= len(upper), upper[-1], value)
    if upper[0] <= 0:
        value = np.where(at == 0, upper[0], value)
    return np.where(reached[:, -1:] > 0, value, np.nan)
