"""VUS-PR and VUS-ROC where faults are drawn again: each stretch counts as often as its fault.

It is drawn with the windows on its ramps; a window between two stretches is the nearer one's, and stretches
whose ramps meet share what they count. Thresholds and all other windows stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from microservo.domain.scoring.ramps import Joined, beside, joined, steps
from microservo.domain.scoring.ratios import or_zero, ratio, row_sums
from microservo.domain.scoring.series import Float64, Int64, Judged, Runs
from microservo.domain.scoring.volume import BUFFER, THRESHOLDS, areas

_UNIT = 2.0**30
"""Weights are whole multiples of its inverse: their sums are exact, in any order and on any machine."""


def volume_replicates(windows: Judged, stretches: Runs, weights: Float64) -> Mapping[str, Float64]:
    """Both volumes, pooled, shape (repetitions,) each; NaN where all weights are 0.

    Args:
        windows: that were judged.
        stretches: of anomalous windows.
        weights: of each stretch, shape (repetitions, stretches), whole numbers.
    """
    normal = int((~windows.is_anomalous).sum())
    if not len(stretches) or not normal:
        undefined = np.full(len(weights), np.nan)
        return {"vus_pr": undefined, "vus_roc": undefined}
    length = stretches.behind - stretches.first
    step = steps(windows.score, THRESHOLDS)
    number = np.repeat(np.arange(len(stretches)), length)
    inside = _sum(
        weights, _by_threshold(number, step[windows.is_anomalous], np.ones(len(number)), len(stretches))
    )
    flagged = np.bincount(step[~windows.is_anomalous], minlength=THRESHOLDS).cumsum()
    anomalous = _sum(weights, length[:, None].astype(np.float64))
    ramps = beside(stretches, windows.bounds, windows.is_anomalous, BUFFER // 2)
    totals = np.zeros((2, len(weights)))
    for buffer in range(BUFFER + 1):
        ramp = ramps.weights(buffer)
        near, reached = ramps.stretch[: len(ramp)], step[ramps.place[: len(ramp)]]
        ramped = _sum(weights, _by_threshold(near, reached, ramp, len(stretches)))
        beside_each = _by_threshold(near, reached, np.ones(len(ramp)), len(stretches))
        drawn = _sum(weights, beside_each)
        said = flagged - beside_each.sum(axis=0) + inside + drawn
        everything = normal - len(ramp) + anomalous + drawn[:, -1:]
        hits, positives = inside + ramped, anomalous + ramped / 2
        touched = _touched(joined(stretches, windows.bounds, buffer // 2), step, weights)
        true_share = np.minimum(or_zero(ratio(hits, positives)), 1) * touched
        false_share = or_zero(ratio(said - hits, everything - positives))
        pieces = areas(true_share, false_share, or_zero(ratio(hits, said)))
        totals += [row_sums(each) for each in pieces]
    pr, roc = np.where(anomalous[:, 0] > 0, totals / (BUFFER + 1), np.nan)
    return {"vus_pr": pr, "vus_roc": roc}


def _by_threshold(stretch: Int64, step: Int64, worth: Float64, stretches: int) -> Float64:
    """What the windows of each stretch are worth that are flagged, shape (stretches, thresholds)."""
    counted = np.bincount(stretch * THRESHOLDS + step, weights=worth, minlength=stretches * THRESHOLDS)
    return _exact(counted.reshape(stretches, THRESHOLDS).cumsum(axis=1))


def _touched(groups: Joined, step: Int64, weights: Float64) -> Float64:
    """Share of the groups that are touched, each weighing the mean of its stretches; as `hits`."""
    size = np.diff(np.append(groups.leader, weights.shape[1]))
    weight = _exact(np.add.reduceat(weights, groups.leader, axis=1) / size)
    is_touched = groups.lowest(np.append(step, THRESHOLDS))[:, None] <= np.arange(THRESHOLDS)
    return or_zero(ratio(_sum(weight, is_touched.astype(np.float64)), weight.sum(axis=1)[:, None]))


def _exact(values: Float64) -> Float64:
    return np.asarray(np.rint(values * _UNIT) / _UNIT)


def _sum(weights: Float64, values: Float64) -> Float64:
    """The matrix product, without the threads of BLAS, which wait for one another on a busy machine."""
    return np.asarray(np.einsum("rs,st->rt", weights, values))
