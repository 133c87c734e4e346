"""What is found when false alarms are limited to so many an hour: a metric that no control can win.

Each service gets the lowest threshold at which its false alarms, counted as in `false_alarms`, stay within
the budget for its fault-free time. Only fault-free windows set it, as a calibration on fault-free time
would; what scores above it is found. Who gives all windows one score can be given no such threshold, and
finds nothing.

- `event_recall_at_1_per_hour`: share of the incidents found at one false alarm an hour. 0 to 1, higher is
  better; by chance about the share of a service's windows that are in one incident. NaN without incidents.
- Source: Fawcett and Provost, Activity Monitoring, KDD 1999, where the curve over all budgets is called
  AMOC; `budget_curve` gives it, with the delay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from microservo.domain.scoring.detection import Detection
from microservo.domain.scoring.false_alarms import HOUR_US
from microservo.domain.scoring.ratios import quantile, ratio
from microservo.domain.scoring.series import Flags, Float64

BUDGET_PER_HOUR = 1.0

BUDGETS_PER_HOUR = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Points of the curve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetPoint:
    """What is found within one budget.

    Attributes:
        per_hour: false alarms that are allowed in each fault-free hour of a service.
        event_recall: share of the incidents found; NaN without any.
        delay_p50_s: median of the seconds from the fault's apply to the end of the first window that is above
            the threshold, of the incidents found; NaN where none is.
    """

    per_hour: float
    event_recall: float
    delay_p50_s: float


def budget_metrics(judged: Detection) -> Mapping[str, Float64]:
    """Shape (1 + services,)."""
    found = judged.counted(_found(judged, thresholds(judged, BUDGET_PER_HOUR)))
    return {"event_recall_at_1_per_hour": ratio(found, judged.counted(judged.found.counts))}


def budget_replicates(judged: Detection, weights: Float64) -> Mapping[str, Float64]:
    """The same, pooled, where each incident counts as often as its weight says; see `event_replicates`."""
    found = _found(judged, thresholds(judged, BUDGET_PER_HOUR))
    counted = (weights * judged.found.counts).sum(axis=1)
    return {"event_recall_at_1_per_hour": ratio((weights * found).sum(axis=1), counted)}


def budget_curve(judged: Detection, budgets: Sequence[float] = BUDGETS_PER_HOUR) -> list[BudgetPoint]:
    """Incidents found and how fast, for each budget; pooled over services."""
    points = []
    windows, places = judged.windows, judged.places
    for budget in budgets:
        limits = thresholds(judged, budget)
        found = _found(judged, limits)
        above = (windows.is_anomalous & (windows.score > limits[windows.service_of()])).nonzero()[0]
        first = above[above.searchsorted(places.first[found], "left")]
        applied_us = np.array([each.applied_us for each in judged.incidents], np.int64)[found]
        delay_s = np.maximum(windows.end_us[first] - applied_us, 0) / 1_000_000
        counted = int(judged.counted(judged.found.counts)[0])
        points.append(
            BudgetPoint(
                per_hour=budget,
                event_recall=float(ratio(found.sum(), counted)),
                delay_p50_s=quantile(delay_s.tolist(), 0.5),
            )
        )
    return points


def thresholds(judged: Detection, per_hour: float) -> Float64:
    """What a score must be above to be found, shape (services,); infinite without fault-free windows."""
    free = judged.fault_free
    limits = np.full(len(judged.windows.services), np.inf)
    if not len(free.bucket_first):
        return limits
    highest = np.maximum.reduceat(judged.windows.score[free.place], free.bucket_first)
    allowed = np.floor(per_hour * free.length_us[1:] / HOUR_US).astype(np.int64).tolist()
    edges = np.searchsorted(free.bucket_service, np.arange(len(limits) + 1)).tolist()
    for service, most in enumerate(allowed):
        own = np.sort(highest[edges[service] : edges[service + 1]])
        if len(own):
            limits[service] = own[-1 - most] if most < len(own) else -np.inf
    return limits


def _found(judged: Detection, limits: Float64) -> Flags:
    """Whether an anomalous window of each incident scores above the threshold of its service."""
    windows = judged.windows
    score = np.append(np.where(windows.is_anomalous, windows.score, -np.inf), -np.inf)
    edges = np.column_stack((judged.places.first, judged.places.behind)).ravel()
    if not len(edges) or not len(limits):
        return np.zeros(len(judged.incidents), np.bool_)
    highest = np.maximum.reduceat(score, edges)[::2]
    return np.asarray(judged.found.counts & (highest > limits[judged.service]))
