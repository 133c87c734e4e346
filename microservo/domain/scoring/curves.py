"""Areas under the curves of precision over recall and of true over false positives, over all thresholds.

- `auc_pr` is the average precision: the mean over anomalous windows of the precision at the threshold that
  just flags that window. Range 0 to 1, higher is better; by chance the share of anomalous windows.
- `auc_roc` is the probability that an anomalous window scores higher than a normal one, half of it where
  both score the same. Range 0 to 1, higher is better; by chance 0.5.
- NaN where either kind of window is missing. Ties are right: who gives all windows one score gets what
  chance gets.
- Source: scikit-learn, `average_precision_score` and `roc_auc_score`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import fsum, nan

import numpy as np

from microservo.domain.scoring.ratios import or_zero, ratio, row_sums
from microservo.domain.scoring.series import Flags, Float64, Int64, Judged


def curve_metrics(windows: Judged) -> Mapping[str, Float64]:
    """Both areas, shape (1 + services,): of all windows against one threshold first, then of each service."""
    groups = [slice(a, b) for a, b in pairwise(windows.bounds.tolist())]
    anomalous = [np.sort(windows.score[rows][windows.is_anomalous[rows]]) for rows in groups]
    normal = [np.sort(windows.score[rows][~windows.is_anomalous[rows]]) for rows in groups]
    pairs = zip([_merged(anomalous), *anomalous], [_merged(normal), *normal], strict=True)
    found = [_areas(*pair) for pair in pairs]
    return {"auc_pr": np.array([each[0] for each in found]), "auc_roc": np.array([each[1] for each in found])}


@dataclass(frozen=True, slots=True)
class RankedAnomalies:
    """Anomalous windows by ascending score; shape (anomalous windows,) each.

    Attributes:
        place: of the window among the windows that were ranked.
        below: how many anomalous windows score less.
        normal_below: how many normal windows score less.
        normal_equal: how many score the same.
        normal: how many normal windows there are.
    """

    place: Int64
    below: Int64
    normal_below: Int64
    normal_equal: Int64
    normal: int


def ranked(score: Float64, is_anomalous: Flags) -> RankedAnomalies:
    """Where each anomalous window stands among the others."""
    anomalous, normal = score[is_anomalous], np.sort(score[~is_anomalous])
    order = anomalous.argsort(kind="stable")
    anomalous = anomalous[order]
    below = normal.searchsorted(anomalous, "left")
    return RankedAnomalies(
        place=is_anomalous.nonzero()[0][order],
        below=anomalous.searchsorted(anomalous, "left"),
        normal_below=below,
        normal_equal=normal.searchsorted(anomalous, "right") - below,
        normal=len(normal),
    )


def weighted_areas(found: RankedAnomalies, weights: Float64) -> tuple[Float64, Float64]:
    """Both areas where each anomalous window counts as often as its weight says.

    Args:
        found: shape (anomalous windows,).
        weights: shape (repetitions, anomalous windows), in the order of `found`.

    Returns:
        `auc_pr` and `auc_roc`, shape (repetitions,); NaN where all weights are 0.
    """
    behind = np.concatenate((np.zeros((len(weights), 1)), np.cumsum(weights, axis=1)), axis=1)
    total = behind[:, -1:]
    hits = total - behind[:, found.below]
    false_alarms = found.normal - found.normal_below
    precision = or_zero(ratio(hits, hits + false_alarms))
    outscored = ratio(found.normal_below + found.normal_equal / 2, found.normal)
    # Without normal windows neither area is defined.
    total = np.where(found.normal > 0, total[:, 0], 0)
    return ratio(row_sums(weights * precision), total), ratio(row_sums(weights * outscored), total)


def _merged(pieces: Sequence[Float64]) -> Float64:
    """One ascending column of several."""
    # The stable sort merges what is in order already, which costs half of sorting anew.
    return np.sort(np.concatenate([np.empty(0), *pieces]), kind="stable")


def _areas(anomalous: Float64, normal: Float64) -> tuple[float, float]:
    """Both areas of ascending scores of anomalous and of normal windows."""
    if not len(anomalous) or not len(normal):
        return nan, nan
    below = normal.searchsorted(anomalous, "left")
    not_above = below.copy()
    # Few score as a normal window does, and only those have to be looked up a second time.
    equal = (normal[np.minimum(below, len(normal) - 1)] == anomalous).nonzero()[0]
    not_above[equal] = normal.searchsorted(anomalous[equal], "right")
    hits = len(anomalous) - _first_of_equal(anomalous)
    precision = hits / (hits + (len(normal) - below))
    # Whole numbers, so that the sum is exact.
    outscored = int(below.sum()) + int(not_above.sum())
    return fsum(precision.tolist()) / len(anomalous), outscored / (2 * len(anomalous) * len(normal))


def _first_of_equal(ascending: Float64) -> Int64:
    """For each of some values, the place of the first that is the same."""
    place = np.arange(len(ascending))
    place[1:][ascending[1:] == ascending[:-1]] = 0
    return np.maximum.accumulate(place)
