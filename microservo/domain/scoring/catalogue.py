"""Every metric of the board by name: what it says, which way is better, and what chance gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from types import MappingProxyType
from typing import Literal

from microservo.errors import InvalidInput

Task = Literal["detector", "ranker", "classifier"]
Direction = Literal["higher", "lower"]
Cost = Literal["live", "batch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric.

    Attributes:
        name: as in evaluations.
        title: as on the board.
        task: of the algorithms it is for.
        direction: which values are better.
        low: the lowest value there can be.
        high: the highest.
        is_headline: whether it alone may decide who is better: no control can win it.
        cost: `live` ones are kept up to date with each window, `batch` ones are worked out now and then.
        of_random: what chance gets; None where nothing can be said.
        doc: what it says.
    """

    name: str
    title: str
    task: Task
    direction: Direction = "higher"
    low: float = 0.0
    high: float = 1.0
    is_headline: bool = False
    cost: Cost = "live"
    of_random: str | None = None
    doc: str


_SHARE = "the share of anomalous windows"

_DETECTOR = (
    Metric(
        name="coverage",
        title="Scored",
        task="detector",
        doc="Share of the windows for which there was a score.",
    ),
    Metric(
        name="point_precision",
        title="Precision",
        task="detector",
        of_random=_SHARE,
        doc="Share of the flagged windows that are anomalous.",
    ),
    Metric(
        name="point_recall",
        title="Recall",
        task="detector",
        of_random="the share of flagged windows",
        doc="Share of the anomalous windows that are flagged.",
    ),
    Metric(
        name="point_f1",
        title="F1",
        task="detector",
        of_random="at most 2p / (1 + p), p the share of anomalous windows",
        doc="Harmonic mean of precision and recall of windows.",
    ),
    Metric(
        name="auc_pr",
        title="AUC-PR",
        task="detector",
        is_headline=True,
        of_random=_SHARE,
        doc="Average precision over all thresholds.",
    ),
    Metric(
        name="auc_roc",
        title="AUC-ROC",
        task="detector",
        of_random="0.5",
        doc="Probability that an anomalous window scores above a normal one.",
    ),
    Metric(
        name="lift_over_random",
        title="Lift over random",
        task="detector",
        high=inf,
        of_random="1",
        doc="AUC-PR divided by what chance gets.",
    ),
    Metric(
        name="lift_over_constant",
        title="Lift over constant",
        task="detector",
        high=inf,
        of_random="at most 1",
        doc="AUC-PR divided by that of the best constant score for each service.",
    ),
    Metric(
        name="event_recall",
        title="Incidents found",
        task="detector",
        of_random="1 where it alarms often enough",
        doc="Share of the incidents with an alarm in one of their anomalous windows.",
    ),
    Metric(
        name="event_recall_at_1_per_hour",
        title="Found at 1 false alarm/h",
        task="detector",
        is_headline=True,
        of_random="about the share of a service's windows that are in one incident",
        doc="Share of the incidents found at the threshold that raises one false alarm in a fault-free hour.",
    ),
    Metric(
        name="event_precision",
        title="Event precision",
        task="detector",
        of_random="about the share of five minutes that meet an incident",
        doc="Incidents found, divided by these and the five-minute buckets with a false alarm.",
    ),
    Metric(
        name="event_f1",
        title="Event F1",
        task="detector",
        of_random="much, where incidents are dense and it always alarms",
        doc="Harmonic mean of incidents found and event precision.",
    ),
    Metric(
        name="composite_f1",
        title="Composite F1",
        task="detector",
        of_random="at most 2p / (1 + p), p the share of anomalous windows",
        doc="Harmonic mean of incidents found and precision of windows.",
    ),
    Metric(
        name="false_alarms_per_hour",
        title="False alarms/h",
        task="detector",
        direction="lower",
        high=inf,
        doc="Five-minute buckets with a false alarm for each fault-free hour of a service.",
    ),
    Metric(
        name="missed_share",
        title="Missed",
        task="detector",
        direction="lower",
        of_random="0 where it alarms often enough",
        doc="Share of the incidents that were not found.",
    ),
    *(
        Metric(
            name=f"delay_from_{origin}_{end}",
            title=f"Delay from {origin}, {title}",
            task="detector",
            direction="lower",
            high=inf,
            of_random="0 where it always alarms",
            doc=f"Seconds from the {origin} of the fault until the alarm could be known, {doc}.",
        )
        for origin in ("apply", "effect")
        for end, title, doc in (
            ("p50_s", "median", "median of the incidents found"),
            ("p95_s", "p95", "95th percentile of the incidents found"),
            ("penalised_s", "penalised", "mean; a missed one has taken as long as it lasted"),
        )
    ),
    *(
        Metric(
            name=f"precision_at_{name}_percent",
            title=f"Precision at {percent} %",
            task="detector",
            of_random=f"{percent} %",
            doc=f"Precision of windows as it would be if {percent} % of them were anomalous.",
        )
        for name, percent in (("1", "1"), ("0_1", "0.1"))
    ),
    Metric(
        name="vus_pr",
        title="VUS-PR",
        task="detector",
        is_headline=True,
        cost="batch",
        of_random="about the share of anomalous windows and their surroundings",
        doc="Area under the precision-recall curve, tolerant of alarms somewhat beside, over all tolerances.",
    ),
    Metric(
        name="vus_roc",
        title="VUS-ROC",
        task="detector",
        cost="batch",
        of_random="about 0.5",
        doc="Area under the ROC curve, tolerant of alarms somewhat beside, over all tolerances.",
    ),
    *(
        Metric(name=name, title=title, task="detector", cost="batch", of_random=of_random, doc=doc)
        for name, title, of_random, doc in (
            (
                "range_precision",
                "Range precision",
                _SHARE,
                "Mean share of each flagged range that is anomalous.",
            ),
            ("range_recall", "Range recall", None, "Mean of existence and overlap of each anomalous range."),
            ("range_f1", "Range F1", "low", "Harmonic mean of range precision and recall."),
            (
                "early_range_recall",
                "Range recall, early",
                None,
                "Range recall in which early windows of a range weigh more.",
            ),
            ("affiliation_precision", "Affiliation precision", "0.5", "How near alarms are to anomalies."),
            ("affiliation_recall", "Affiliation recall", "0.5 to 1", "How near anomalies are to alarms."),
            ("affiliation_f1", "Affiliation F1", "0.5 to 0.8", "Harmonic mean of both."),
            ("pa_f1", "PA F1 (legacy)", "see random_pa_f1", "F1 after point adjustment."),
            ("random_pa_f1", "PA F1 of random", None, "What as many alarms by chance get."),
            ("pa_20_f1", "PA%20 F1 (legacy)", "see random_pa_20_f1", "F1 after adjustment above 20 %."),
            ("random_pa_20_f1", "PA%20 F1 of random", None, "What as many alarms by chance get."),
        )
    ),
    *(
        Metric(
            name=f"nab_{profile}",
            title=f"NAB, {title}",
            task="detector",
            low=-inf,
            high=100,
            cost="batch",
            of_random="below 0; who never alarms gets 0",
            doc=f"Score of the Numenta Anomaly Benchmark at the alarms, profile {title}.",
        )
        for profile, title in (("standard", "standard"), ("low_fp", "low FP"), ("low_fn", "low FN"))
    ),
)

_HEADLINE_RANKS = {"ac_1", "ac_3", "avg_5", "mrr"}


def _ranker(prefix: str, told: str) -> list[Metric]:
    """The metrics of rankings that were told one kind of time."""
    found = [
        *(
            (f"ac_{k}", f"AC@{k}", f"Chance@{k}", f"Share of root causes among the first {k}")
            for k in range(1, 6)
        ),
        ("avg_5", "Avg@5", "the mean of Chance@1 to Chance@5", "Mean of AC@1 to AC@5"),
        ("mrr", "MRR", "Chance MRR", "Mean of 1 / rank of the first root cause"),
        *((f"chance_{k}", f"Chance@{k}", None, f"AC@{k} of a ranking by chance") for k in range(1, 6)),
        ("chance_mrr", "Chance MRR", None, "MRR of a ranking by chance"),
        *((f"lift_{k}", f"Lift@{k}", "0", f"AC@{k} above chance") for k in range(1, 6)),
    ]
    return [
        Metric(
            name=prefix + name,
            title=f"{title}, {told}",
            task="ranker",
            low=-1.0 if name.startswith("lift") else 0.0,
            is_headline=name in _HEADLINE_RANKS,
            of_random=of_random,
            doc=f"{doc}, {told}; no ranking counts as 0.",
        )
        for name, title, of_random, doc in found
    ]


_CLASSIFIER = (
    Metric(
        name="micro_f1",
        title="Micro F1",
        task="classifier",
        of_random="1 / classes, or the share of the most frequent class",
        doc="F1 over all faults; one without an answer is wrong.",
    ),
    Metric(
        name="macro_f1",
        title="Macro F1",
        task="classifier",
        is_headline=True,
        of_random="about 1 / classes",
        doc="Mean F1 of the classes.",
    ),
    Metric(
        name="weighted_f1",
        title="Weighted F1",
        task="classifier",
        of_random="about the sum of the squared shares of the classes",
        doc="Mean F1 of the classes, weighed by their faults.",
    ),
)

METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            *_DETECTOR,
            *_ranker("", "told the true instant"),
            *_ranker("chained_", "told an alarm's instant"),
            *_CLASSIFIER,
        )
    }
)
"""Name of a metric to what is known of it, in the order of the board."""


def metrics_of(task: Task, cost: Cost = "batch") -> tuple[Metric, ...]:
    """The metrics of a task; with `live` only those that are kept up to date all the time."""
    found = (metric for metric in METRICS.values() if metric.task == task)
    return tuple(metric for metric in found if cost == "batch" or metric.cost == "live")


def metric(name: str) -> Metric:
    """A metric by its name.

    Raises:
        InvalidInput: there is no such metric.
    """
    if name not in METRICS:
        msg = f"unknown metric {name!r}; expected one of {', '.join(METRICS)}"
        raise InvalidInput(msg)
    return METRICS[name]
