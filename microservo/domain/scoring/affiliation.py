"""Affiliation precision, recall and F1: how near alarms and anomalies are, against how near chance comes.

Each stretch of anomalous windows owns the zone around it, up to the middle between it and the next. In its
zone the precision is the mean, over what is flagged, of the probability that a point thrown anywhere in the
zone is no nearer to the stretch; the recall is the mean, over the stretch, of the probability that such a
point is no nearer to it than what is flagged. Both are averaged over zones, precision over those with an
alarm in them.

- Range 0 to 1, higher is better. By chance 0.5 to 0.8, whatever the threshold: read it beside a random
  score.
- Precision is NaN without alarms; all are NaN without anomalies. Positions are places of windows.
- Source: Huet et al., Local Evaluation of Time Series Anomaly Detection Algorithms, KDD 2022; the values
  are those of its authors' package and of TSB-AD.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from microservo.domain.scoring.ratios import harmonic, mean, mean_of_defined
from microservo.domain.scoring.series import Float64, Judged


@dataclass(frozen=True, slots=True)
class _Zone:
    """A stretch from `begin` to `end`, the zone it owns, and what is flagged in it, shape (intervals, 2)."""

    low: float
    begin: float
    end: float
    high: float
    flagged: Float64


def affiliation_metrics(windows: Judged) -> Mapping[str, float]:
    """Pooled: over the zones of all services."""
    zones = _zones(windows)
    precision = mean_of_defined(_precision(zone) for zone in zones)
    recall = mean(_recall(zone) for zone in zones)
    return {
        "affiliation_precision": precision,
        "affiliation_recall": recall,
        "affiliation_f1": float(harmonic(precision, recall)),
    }


def _zones(windows: Judged) -> list[_Zone]:
    zones = []
    for place in range(len(windows.services)):
        own = windows.of_service(place)
        stretches, said = own.runs(own.is_anomalous), own.runs(own.is_flagged)
        if not len(stretches):
            continue
        begin, end = stretches.first.astype(np.float64), stretches.behind.astype(np.float64)
        between = (end[:-1] + begin[1:]) / 2
        low, high = np.append(0.0, between), np.append(between, float(len(own)))
        flagged = np.column_stack((said.first, said.behind)).astype(np.float64)
        for edges in zip(low.tolist(), begin.tolist(), end.tolist(), high.tolist(), strict=True):
            zones.append(_Zone(*edges, _clipped(flagged, edges[0], edges[3])))
    return zones


def _clipped(intervals: Float64, low: float, high: float) -> Float64:
    """The parts of intervals between two positions."""
    clipped = np.clip(intervals, low, high)
    return np.asarray(clipped[clipped[:, 0] < clipped[:, 1]])


def _precision(zone: _Zone) -> float:
    """NaN where nothing is flagged in the zone."""
    total = _length(zone.flagged)
    if not total:
        return float("nan")
    before = zone.begin - _clipped(zone.flagged, zone.low, zone.begin)[:, ::-1]
    after = _clipped(zone.flagged, zone.end, zone.high) - zone.end
    inside = _length(_clipped(zone.flagged, zone.begin, zone.end))
    return (inside + _survival(zone, before) + _survival(zone, after)) / total


def _survival(zone: _Zone, distance: Float64) -> float:
    """The probability integrated over points so far from the stretch, shape (intervals, 2)."""
    nearer = np.diff(_capped(distance, zone.begin - zone.low) + _capped(distance, zone.high - zone.end))
    length = _length(distance)
    nearer_in_all = float(nearer.ravel().cumsum()[-1]) if len(distance) else 0.0
    return length - ((zone.end - zone.begin) * length + nearer_in_all) / (zone.high - zone.low)


def _capped(distance: Float64, most: float) -> Float64:
    """The integral of `min(x, most)` from 0 to a distance."""
    within = np.minimum(distance, most)
    return np.asarray(within * within / 2 + most * (distance - within))


def _recall(zone: _Zone) -> float:
    """0 where nothing is flagged in the zone."""
    if not len(zone.flagged):
        return 0.0
    points = _breakpoints(zone)
    distance = _distance(points, zone.flagged)
    nearer = np.minimum(distance, points - zone.low) + np.minimum(distance, zone.high - points)
    # Between two breakpoints everything is a straight line.
    area = (np.diff(points) * (nearer[1:] + nearer[:-1]) / 2).cumsum()[-1]
    return 1 - float(area) / (zone.high - zone.low) / (zone.end - zone.begin)


def _breakpoints(zone: _Zone) -> Float64:
    """Positions in the stretch between which the distances that matter are linear."""
    edges = zone.flagged.ravel()
    middles = (zone.flagged[1:, 0] + zone.flagged[:-1, 1]) / 2
    halves = np.concatenate(((edges + zone.low) / 2, (edges + zone.high) / 2))
    points = np.concatenate(([zone.begin, zone.end], edges, middles, halves))
    return np.unique(np.clip(points, zone.begin, zone.end))


def _distance(points: Float64, intervals: Float64) -> Float64:
    """From each point to the nearest interval; 0 inside of one."""
    behind = intervals[:, 0].searchsorted(points, "right")
    begins, ends = np.append(intervals[:, 0], np.inf), np.append(-np.inf, intervals[:, 1])
    return np.asarray(np.maximum(np.minimum(points - ends[behind], begins[behind] - points), 0))


def _length(intervals: Float64) -> float:
    return float((intervals[:, 1] - intervals[:, 0]).sum())
