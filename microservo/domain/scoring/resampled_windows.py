"""Metrics of windows where faults are drawn again: every anomalous window counts as often as its fault.

An anomalous window belongs to the first incident that overlaps it; one that none overlaps counts once.
Normal windows stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from microservo.domain.scoring.curves import ranked, weighted_areas
from microservo.domain.scoring.detection import Detection
from microservo.domain.scoring.ratios import harmonic, ratio
from microservo.domain.scoring.resampled_volume import volume_replicates
from microservo.domain.scoring.series import Float64, Int64

_VOLUME_REPETITIONS = 200
"""Enough for two digits of an interval; a volume costs a hundred times as much as an area."""

_CHUNK = 100
"""Repetitions at once, which bounds the memory: with 5,000 anomalous windows 4 MB a column."""


def window_replicates(judged: Detection, weights: Float64) -> Mapping[str, Float64]:
    """Pooled metrics of windows, shape (repetitions,) each.

    Args:
        judged: what is judged.
        weights: shape (repetitions, incidents), whole numbers.
    """
    windows, owner = judged.windows, _owner(judged)
    padded = np.concatenate((weights, np.ones((len(weights), 1))), axis=1)
    hits = _counted(owner[windows.is_anomalous & windows.is_flagged], padded)
    anomalous = _counted(owner[windows.is_anomalous], padded)
    false_alarms = np.float64((windows.is_flagged & ~windows.is_anomalous).sum())
    precision, recall = ratio(hits, hits + false_alarms), ratio(hits, anomalous)
    ranking = ranked(windows.score, windows.is_anomalous)
    own = owner[ranking.place]
    areas = [
        weighted_areas(ranking, padded[start : start + _CHUNK, own])
        for start in range(0, len(padded), _CHUNK)
    ]
    return {
        "point_precision": precision,
        "point_recall": recall,
        "point_f1": harmonic(precision, recall),
        **_volumes(judged, owner, padded),
        "auc_pr": np.concatenate([pr for pr, _ in areas]),
        "auc_roc": np.concatenate([roc for _, roc in areas]),
    }


def _volumes(judged: Detection, owner: Int64, padded: Float64) -> Mapping[str, Float64]:
    """A stretch belongs to the incident of its first window."""
    stretches = judged.windows.runs(judged.windows.is_anomalous)
    weights = padded[:_VOLUME_REPETITIONS, owner[stretches.first]]
    return volume_replicates(judged.windows, stretches, weights)


def _owner(judged: Detection) -> Int64:
    """The incident of each window, shape (windows,); behind the last one where there is none."""
    owner = np.full(len(judged.windows), len(judged.incidents), np.int64)
    edges = zip(judged.places.first.tolist(), judged.places.behind.tolist(), strict=True)
    for incident, (first, behind) in reversed(list(enumerate(edges))):
        owner[first:behind] = incident
    return owner


def _counted(owners: Int64, weights: Float64) -> Float64:
    """The sum of weights of some windows in each repetition; whole numbers, so that it is exact."""
    return np.asarray((weights * np.bincount(owners, minlength=weights.shape[1])).sum(axis=1))
