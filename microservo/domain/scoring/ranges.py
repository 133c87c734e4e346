"""Precision, recall and F1 of ranges: stretches of anomalous windows against stretches of flagged ones.

Recall of a true range is `alpha` for being touched at all, and `1 - alpha` for the share of it that is
flagged, divided by the number of flagged ranges that share it. Its mean over true ranges is the recall; the
precision is the same over flagged ranges with `alpha` 0. With the bias `front` the windows of a range weigh
the more the earlier they are, so that a late alarm is worth less.

- Range 0 to 1, higher is better. An alarm that is always open is one long range, and has the precision of
  the share of anomalous windows divided by their ranges.
- Source: Tatbul et al., Precision and Recall for Time Series, NeurIPS 2018; `prts` with cardinality
  `reciprocal`, and TSB-AD for the flat bias.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import nan
from typing import Literal

import numpy as np

from microservo.domain.scoring.ratios import harmonic, mean
from microservo.domain.scoring.series import Flags, Float64, Int64, Judged, runs

Bias = Literal["flat", "front"]

ALPHA = 0.2
"""Weight of being touched at all in the recall, as TSB-AD has it."""


def range_metrics(windows: Judged) -> Mapping[str, float]:
    """Pooled: over the ranges of all services. Precision is NaN without alarms, recall without anomalies."""
    said = range_recall(windows.is_flagged, windows.is_anomalous, windows.bounds, alpha=0)
    found = range_recall(windows.is_anomalous, windows.is_flagged, windows.bounds, alpha=ALPHA)
    early = range_recall(windows.is_anomalous, windows.is_flagged, windows.bounds, alpha=ALPHA, bias="front")
    return {
        "range_precision": said,
        "range_recall": found,
        "range_f1": float(harmonic(said, found)),
        "early_range_recall": early,
    }


def range_recall(
    ranges: Flags, covering: Flags, bounds: Int64, *, alpha: float, bias: Bias = "flat"
) -> float:
    """Mean over the ranges of what of each one is covered; swapped, and with `alpha` 0, it is the precision.

    Args:
        ranges: windows whose stretches are averaged over, shape (windows,).
        covering: windows that cover them, likewise.
        bounds: where services begin, shape (services + 1,).
        alpha: weight of being covered at all, 0 to 1.
        bias: whether early windows weigh more.
    """
    found, covers = runs(ranges, bounds), runs(covering, bounds)
    if not len(found):
        return nan
    begins = np.zeros(len(covering), np.int64)
    begins[covers.first] = 1
    sharing = _between(begins, found.first + 1, found.behind) + covering[found.first]
    share = _share(covering, found.first, found.behind, bias)
    return mean((alpha * (sharing > 0) + (1 - alpha) * share / np.maximum(sharing, 1)).tolist())


def _share(covering: Flags, first: Int64, behind: Int64, bias: Bias) -> Float64:
    length = behind - first
    count = _between(covering.astype(np.int64), first, behind)
    if bias == "flat":
        return np.asarray(count / length)
    places = _between(np.where(covering, np.arange(len(covering)), 0), first, behind)
    return np.asarray((behind * count - places) / (length * (length + 1) / 2))


def _between(counted: Int64, first: Int64, behind: Int64) -> Int64:
    total = np.concatenate(([0], counted.cumsum()))
    return np.asarray(total[behind] - total[first])
