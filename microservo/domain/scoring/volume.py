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

from microservo.domain.scoring.ramps import Beside, beside, joined, steps
from microservo.domain.scoring.series import Flags, Float64, Int64, Judged, Runs, runs

BUFFER = 10
"""Largest buffer in windows, half of it on each side: 25 s with windows of 5 s, a fault's usual length."""

THRESHOLDS = 250


@dataclass(frozen=True, slots=True)
class Volumes:
    """VUS-PR and VUS-ROC."""

    pr: float
    roc: float


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
    step = steps(score, thresholds)
    flagged = np.bincount(step, minlength=thresholds).cumsum()
    inside = np.bincount(step[is_anomalous], minlength=thresholds).cumsum()
    ramped = _ramped(step, beside(stretches, bounds, is_anomalous, buffer // 2), buffer, thresholds)
    touched = _touched(np.append(step, thresholds), stretches, bounds, buffer, thresholds)
    hits, positives = inside + ramped, int(is_anomalous.sum()) + ramped / 2
    true_share = np.minimum(hits / positives, 1) * touched
    false_share = (flagged - hits) / (len(score) - positives)
    pr, roc = areas(true_share, false_share, hits / flagged)
    return Volumes(fsum(pr.ravel().tolist()) / len(hits), fsum(roc.ravel().tolist()) / len(hits))


def areas(true_share: Float64, false_share: Float64, precision: Float64) -> tuple[Float64, Float64]:
    """The pieces of the areas under curves, that of precision and recall first; shape (curves, pieces).

    Args:
        true_share: shape (curves, thresholds), and so the others.
        false_share: of what is normal.
        precision: of what is flagged.
    """
    pr = np.diff(true_share, axis=1, prepend=0) * precision
    # Beyond the last threshold the curve goes on to (1, 1).
    start, corner = np.zeros((len(precision), 1)), np.ones((len(precision), 1))
    upright = np.concatenate((start, true_share, corner), axis=1)
    width = np.diff(np.concatenate((start, false_share, corner), axis=1), axis=1)
    return pr, width * (upright[:, 1:] + upright[:, :-1]) / 2


def _ramped(step: Int64, ramps: Beside, buffer: int, thresholds: int) -> Float64:
    """What flagged windows on ramps weigh, shape (buffers, thresholds)."""
    weighed = np.zeros((buffer + 1, thresholds))
    first_step = step[ramps.place]
    for width in range(buffer + 1):
        ramp = ramps.weights(width)
        weighed[width] = np.bincount(first_step[: len(ramp)], weights=ramp, minlength=thresholds).cumsum()
    return weighed


def _touched(padded: Int64, stretches: Runs, bounds: Int64, buffer: int, thresholds: int) -> Float64:
    """Share of the stretches with a flagged window in them or on their ramps, shape (buffers, thresholds)."""
    shares = []
    for reach in range(buffer // 2 + 1):
        first_step = joined(stretches, bounds, reach).lowest(padded)
        shares.append(np.bincount(first_step, minlength=thresholds).cumsum() / len(first_step))
    return np.array(shares)[np.arange(buffer + 1) // 2]
