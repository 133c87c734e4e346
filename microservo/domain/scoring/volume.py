"""Volumes under the surfaces of precision-recall and ROC curves: VUS-PR and VUS-ROC.

An alarm somewhat beside the labelled windows is not worth nothing, and how far "somewhat" reaches should
not decide who wins. So each stretch of anomalous windows is given a ramp on both sides, `sqrt(1 - distance
/ buffer)` up to half of the buffer; true positives are weighted by it, recall is multiplied by the share of
stretches that were touched, and the area under the curve is averaged over all buffers from 0 to the
largest.

- Range 0 to 1, higher is better. By chance VUS-PR is about the share of anomalous windows with their ramps;
  VUS-ROC is about 0.5.
- Several services share the thresholds; no ramp reaches into another service.
- NaN where either kind of window is missing.
- Source: Paparrizos et al., Volume Under the Surface, VLDB 2022; the values are those of `generate_curve`
  of TSB-AD 1.5, with its 250 thresholds, here in one pass over the windows for each buffer and no loop over
  thresholds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import fsum, nan

import numpy as np

from microservo.domain.scoring.series import Flags, Float64, Int64, Judged, Runs, runs

BUFFER = 10
"""Largest buffer in windows, half of it on each side: 25 s with windows of 5 s, a fault's usual length."""

THRESHOLDS = 250


@dataclass(frozen=True, slots=True)
class Volumes:
    """VUS-PR and VUS-ROC."""

    pr: float
    roc: float


@dataclass(frozen=True, slots=True)
class _Beside:
    """Normal windows near stretches, the nearest first: how far the nearest one is, and the second."""

    place: Int64
    nearest: Int64
    second: Int64


def volume_metrics(windows: Judged) -> Mapping[str, float]:
    """Both volumes, pooled over services."""
    found = volumes(windows.score, windows.is_anomalous, windows.bounds)
    return {"vus_pr": found.pr, "vus_roc": found.roc}


def volumes(
    score: Float64, is_anomalous: Flags, bounds: Int64, *, buffer: int = BUFFER, thresholds: int = THRESHOLDS
) -> Volumes:
    """Both volumes.

    Args:
        score: shape (windows,); no NaN.
        is_anomalous: likewise.
        bounds: shape (services + 1,): where the windows of each service begin, and their number at the end.
        buffer: the largest one, in windows.
        thresholds: how many, at equal distances in the ranking.
    """
    stretches = runs(is_anomalous, bounds)
    if not len(stretches) or is_anomalous.all():
        return Volumes(nan, nan)
    descending = -np.sort(-score)
    negated = -descending[np.linspace(0, len(score) - 1, thresholds).astype(np.int64)]
    # A window is flagged from the first threshold on that is not above its score.
    step = negated.searchsorted(-score, "left")
    flagged = np.bincount(step, minlength=thresholds).cumsum()
    inside = np.bincount(step[is_anomalous], minlength=thresholds).cumsum()
    ramped = _ramped(step, _distances(stretches, bounds, is_anomalous, buffer // 2), buffer, thresholds)
    touched = _touched(np.append(step, thresholds), stretches, bounds, buffer, thresholds)
    hits, positives = inside + ramped, int(is_anomalous.sum()) + ramped / 2
    true_share = np.minimum(hits / positives, 1) * touched
    false_share = (flagged - hits) / (len(score) - positives)
    return _areas(true_share, false_share, hits / flagged)


def _areas(true_share: Float64, false_share: Float64, precision: Float64) -> Volumes:
    """From the curves of each buffer, shape (buffers, thresholds)."""
    buffers = len(precision)
    pr = np.diff(true_share, axis=1, prepend=0) * precision
    # Beyond the last threshold the curve goes on to (1, 1).
    start, corner = np.zeros((buffers, 1)), np.ones((buffers, 1))
    upright = np.concatenate((start, true_share, corner), axis=1)
    width = np.diff(np.concatenate((start, false_share, corner), axis=1), axis=1)
    roc = width * (upright[:, 1:] + upright[:, :-1]) / 2
    return Volumes(fsum(pr.ravel().tolist()) / buffers, fsum(roc.ravel().tolist()) / buffers)


def _ramped(step: Int64, beside: _Beside, buffer: int, thresholds: int) -> Float64:
    """What flagged windows on ramps weigh, shape (buffers, thresholds)."""
    weighed = np.zeros((buffer + 1, thresholds))
    first_step = step[beside.place]
    for width in range(buffer + 1):
        count = int(beside.nearest.searchsorted(width // 2, "right"))
        if count:
            # Two ramps together weigh more than 1 everywhere, and 1 is the most.
            is_between = beside.second[:count] <= width // 2
            ramp = np.where(is_between, 1, np.sqrt(1 - beside.nearest[:count] / width))
            weighed[width] = np.bincount(first_step[:count], weights=ramp, minlength=thresholds).cumsum()
    return weighed


def _touched(padded: Int64, stretches: Runs, bounds: Int64, buffer: int, thresholds: int) -> Float64:
    """Share of the stretches with a flagged window in them or on their ramps, shape (buffers, thresholds).

    Stretches whose ramps meet count as one.
    """
    service = bounds.searchsorted(stretches.first, "right")
    begins, ends = bounds[service - 1], bounds[service]
    shares = []
    for reach in range(buffer // 2 + 1):
        is_apart = stretches.behind[:-1] - 1 + reach < stretches.first[1:] - reach
        is_apart |= service[1:] > service[:-1]
        first = np.maximum(stretches.first - reach, begins)[np.append(True, is_apart)]
        behind = np.minimum(stretches.behind + reach, ends)[np.append(is_apart, True)]
        first_step = np.minimum.reduceat(padded, np.column_stack((first, behind)).ravel())[::2]
        shares.append(np.bincount(first_step, minlength=thresholds).cumsum() / len(first))
    return np.array(shares)[np.arange(buffer + 1) // 2]


def _distances(stretches: Runs, bounds: Int64, is_anomalous: Flags, reach: int) -> _Beside:
    """Normal windows within reach of a stretch of their service."""
    far = len(is_anomalous) + reach + 1
    place = (~is_anomalous).nonzero()[0]
    service = bounds.searchsorted(place, "right")
    # Two stretches of nobody on each side, so that each window has two before it and two behind it.
    owner = np.concatenate(([-1, -1], bounds.searchsorted(stretches.first, "right"), [-1, -1]))
    ends = np.concatenate(([0, 0], stretches.behind - 1, [0, 0]))
    begins = np.concatenate(([0, 0], stretches.first, [0, 0]))
    last = stretches.first.searchsorted(place, "right") + 1
    neighbours = ((last, ends), (last - 1, ends), (last + 1, begins), (last + 2, begins))
    distances = np.stack(
        [np.where(owner[which] == service, np.abs(place - edge[which]), far) for which, edge in neighbours]
    )
    distances.sort(axis=0)
    order = distances[0].argsort(kind="stable")
    order = order[distances[0][order] <= reach]
    return _Beside(place[order], distances[0][order], distances[1][order])
