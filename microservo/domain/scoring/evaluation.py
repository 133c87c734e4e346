"""All metrics of one algorithm: pooled, averaged over services, broken down, and with intervals.

What is `live` is cheap enough for every update of a board. What is `batch` adds the other metrics, the
values by kind and severity of faults, and intervals. The same windows, incidents and alarms give the same
digits, whatever the order and the pieces in which they came.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from microservo.domain.scoring.affiliation import affiliation_metrics
from microservo.domain.scoring.bootstrap import Interval, fault_weights, intervals
from microservo.domain.scoring.budget import budget_metrics, budget_replicates
from microservo.domain.scoring.cases import Alarm, Classified, Fault, Incident, Ranking
from microservo.domain.scoring.catalogue import Cost
from microservo.domain.scoring.classification import classification_metrics, classification_replicates
from microservo.domain.scoring.curves import curve_metrics
from microservo.domain.scoring.delay import delay_metrics, delay_replicates
from microservo.domain.scoring.detection import Detection, detection_of
from microservo.domain.scoring.events import event_metrics, event_replicates
from microservo.domain.scoring.false_alarms import false_alarm_metrics
from microservo.domain.scoring.lift import lift_metrics
from microservo.domain.scoring.nab import nab_metrics
from microservo.domain.scoring.point import coverage, point_metrics
from microservo.domain.scoring.point_adjusted import point_adjusted_metrics
from microservo.domain.scoring.prevalence import prevalence_metrics
from microservo.domain.scoring.ranges import range_metrics
from microservo.domain.scoring.ranking import ranking_metrics, ranking_outcomes
from microservo.domain.scoring.ratios import mean_of_defined, row_sums
from microservo.domain.scoring.resampled_windows import window_replicates
from microservo.domain.scoring.series import Float64, Judged, Series
from microservo.domain.scoring.volume import volume_metrics

Values = Mapping[str, float]
"""Name of a metric to its value; NaN where it is not defined."""

Time = Literal["oracle", "chained"]
"""What a ranker was told: the true instant, or that of an alarm."""

TIMES: tuple[Time, ...] = ("oracle", "chained")

_BATCH: tuple[Callable[[Judged], Values], ...] = (
    volume_metrics,
    range_metrics,
    affiliation_metrics,
    point_adjusted_metrics,
    nab_metrics,
)

_BANDS = ((1 / 3, "weak"), (2 / 3, "medium"), (1.0, "strong"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What was found of one algorithm.

    Attributes:
        values: over everything.
        macro: mean over the services in which a metric is defined, of detectors.
        services: by service; of rankers and classifiers, by the service that is the root cause.
        kinds: by kind of fault; normal windows and false alarms are those of all.
        severities: by severity: `weak` up to a third, `medium`, and `strong` above two thirds.
        intervals: 95 %, of the metrics that have one.
    """

    values: Values
    macro: Values = field(default_factory=dict)
    services: Mapping[str, Values] = field(default_factory=dict)
    kinds: Mapping[str, Values] = field(default_factory=dict)
    severities: Mapping[str, Values] = field(default_factory=dict)
    intervals: Mapping[str, Interval] = field(default_factory=dict)


def evaluate_detector(
    series: Sequence[Series],
    incidents: Sequence[Incident] = (),
    alarms: Sequence[Alarm] = (),
    *,
    cost: Cost = "live",
    seed: int = 0,
) -> Evaluation:
    """Evaluates a detector.

    Args:
        series: its windows; a service may come in several pieces.
        incidents: what it should have found.
        alarms: what it raised.
        cost: how much is worked out.
        seed: of the intervals.

    Raises:
        InvalidInput: a window comes twice.
    """
    return evaluate_detection(detection_of(series, incidents, alarms), cost=cost, seed=seed)


def evaluate_detection(judged: Detection, *, cost: Cost = "live", seed: int = 0) -> Evaluation:
    """As `evaluate_detector`, of what was put together before."""
    found = dict(_live(judged))
    if cost == "batch":
        found |= _batch(judged.windows)
    columns = {name: column.tolist() for name, column in found.items()}
    services = {
        service: {name: column[place] for name, column in columns.items()}
        for place, service in enumerate(judged.windows.services, 1)
    }
    evaluation = Evaluation(
        values={name: column[0] for name, column in columns.items()},
        macro={name: mean_of_defined(column[1:]) for name, column in columns.items()},
        services=services,
    )
    return evaluation if cost == "live" else _with_breakdown(evaluation, judged, seed)


def evaluate_ranker(
    faults: Sequence[Fault],
    rankings: Sequence[Ranking],
    *,
    times: Collection[Time] = TIMES,
    cost: Cost = "live",
    seed: int = 0,
) -> Evaluation:
    """Evaluates a ranker; a fault without a ranking counts as 0.

    Args:
        faults: all that it should have explained, those that nobody detected too.
        rankings: what it said.
        times: the kinds of time it was told at all; metrics of others are left out.
        cost: how much is worked out.
        seed: of the intervals.
    """

    def values(some: Sequence[Fault]) -> Values:
        return {
            _prefix(time) + name: value
            for time in times
            for name, value in ranking_metrics(some, _told(rankings, time)).items()
        }

    def replicates(some: Sequence[Fault], weights: Float64) -> Mapping[str, Float64]:
        return {
            _prefix(time) + name: row_sums(weights * column) / len(some)
            for time in times
            for name, column in ranking_outcomes(some, _told(rankings, time)).items()
        }

    return _of_faults(faults, values, replicates, cost, seed)


def evaluate_classifier(
    faults: Sequence[Fault], cases: Sequence[Classified], *, cost: Cost = "live", seed: int = 0
) -> Evaluation:
    """Evaluates a classifier; a fault without an answer is wrong. Arguments as of `evaluate_ranker`."""
    return _of_faults(
        faults,
        lambda some: classification_metrics(some, cases),
        lambda some, weights: classification_replicates(some, cases, weights),
        cost,
        seed,
    )


def _live(judged: Detection) -> Mapping[str, Float64]:
    """Shape (1 + services,) each."""
    curves = curve_metrics(judged.windows)
    return {
        **coverage(judged.windows),
        **point_metrics(judged.confusion),
        **curves,
        **lift_metrics(judged.windows, curves["auc_pr"]),
        **event_metrics(judged),
        **budget_metrics(judged),
        **false_alarm_metrics(judged.false_alarms, judged.fault_free),
        **delay_metrics(judged),
        **prevalence_metrics(judged.confusion),
    }


def _batch(windows: Judged) -> Mapping[str, Float64]:
    """Shape (1 + services,) each."""
    parts = [windows, *(windows.of_service(place) for place in range(len(windows.services)))]
    rows = [{name: value for metrics in _BATCH for name, value in metrics(part).items()} for part in parts]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _with_breakdown(evaluation: Evaluation, judged: Detection, seed: int) -> Evaluation:
    weights = fault_weights([each.fault_id for each in judged.incidents], seed=seed)
    replicates = {
        **window_replicates(judged, weights),
        **event_replicates(judged, weights),
        **budget_replicates(judged, weights),
        **delay_replicates(judged, weights),
    }
    return Evaluation(
        values=evaluation.values,
        macro=evaluation.macro,
        services=evaluation.services,
        kinds=_by_incident(judged, [each.kind for each in judged.incidents]),
        severities=_by_incident(judged, [_band(each.severity) for each in judged.incidents]),
        intervals=intervals(replicates) if judged.incidents else {},
    )


def _by_incident(judged: Detection, keys: Sequence[str]) -> Mapping[str, Values]:
    """The values as if there were only incidents of one key."""
    found = {}
    for key in sorted(set(keys)):
        part = judged.of_incidents(np.array([each == key for each in keys], np.bool_))
        pooled = {name: float(column[0]) for name, column in _live(part).items()}
        for metrics in _BATCH:
            pooled |= metrics(part.windows)
        found[key] = pooled
    return found


def _of_faults(
    faults: Sequence[Fault],
    values: Callable[[Sequence[Fault]], Values],
    replicates: Callable[[Sequence[Fault], Float64], Mapping[str, Float64]],
    cost: Cost,
    seed: int,
) -> Evaluation:
    ordered = sorted(faults, key=lambda each: each.fault_id)
    if cost == "live" or not ordered:
        return Evaluation(values=values(ordered))
    weights = fault_weights([each.fault_id for each in ordered], seed=seed)
    return Evaluation(
        values=values(ordered),
        services=_grouped(ordered, values, lambda each: sorted(each.answers)),
        kinds=_grouped(ordered, values, lambda each: [each.kind]),
        severities=_grouped(ordered, values, lambda each: [_band(each.severity)]),
        intervals=intervals(replicates(ordered, weights)),
    )


def _grouped(
    faults: Sequence[Fault],
    values: Callable[[Sequence[Fault]], Values],
    keys: Callable[[Fault], Sequence[str]],
) -> Mapping[str, Values]:
    groups: dict[str, list[Fault]] = {}
    for fault in faults:
        for key in keys(fault):
            groups.setdefault(key, []).append(fault)
    return {key: values(groups[key]) for key in sorted(groups)}


def _told(rankings: Sequence[Ranking], time: Time) -> list[Ranking]:
    return [each for each in rankings if each.is_oracle_time == (time == "oracle")]


def _prefix(time: Time) -> str:
    return "" if time == "oracle" else "chained_"


def _band(severity: float) -> str:
    return next((name for most, name in _BANDS if severity <= most), _BANDS[-1][1])
