"""A finding as a record of the contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan

from microservo.domain import scoring
from microservo.domain.evaluation.breakdown import ACTUAL, MEAN
from microservo.domain.evaluation.deployments import Traits
from microservo.domain.evaluation.judgement import Judgement, Scope
from schemas.records import Evaluation

_Groups = Mapping[str, Mapping[str, float]]


def evaluation_record(judgement: Judgement, scope: Scope, traits: Traits, *, at_us: int) -> Evaluation:
    """What is published of one version of an algorithm.

    Args:
        judgement: how good it is.
        scope: what it was judged on.
        traits: what is said of it besides.
        at_us: when this was so, in microseconds UTC.
    """
    found = judgement.evaluation
    metrics = sorted(found.values)
    none = scoring.Interval(nan, nan)
    parts = _parts(judgement)
    return Evaluation(
        evaluation_id=f"{judgement.scenario}/{judgement.algorithm}@{judgement.version}",
        scenario=judgement.scenario,
        run_id=scope.run_id,
        algorithm=judgement.algorithm,
        algorithm_version=judgement.version,
        task=judgement.task,
        is_control=traits.is_control,
        is_fenced=traits.is_fenced,
        is_final=scope.is_final,
        input_sha256=judgement.input_sha256,
        labels_sha256=judgement.labels_sha256,
        label_revision=judgement.label_revision,
        windows=judgement.windows,
        scored=judgement.scored,
        cases=judgement.cases,
        metrics=tuple(metrics),
        values=tuple(found.values[name] for name in metrics),
        lows=tuple(found.intervals.get(name, none).low for name in metrics),
        highs=tuple(found.intervals.get(name, none).high for name in metrics),
        groups=tuple(group for group, _, _ in parts),
        group_metrics=tuple(name for _, name, _ in parts),
        group_values=tuple(value for _, _, value in parts),
        budgets_per_hour=tuple(point.per_hour for point in judgement.budgets),
        budget_recalls=tuple(point.event_recall for point in judgement.budgets),
        budget_delays_s=tuple(point.delay_p50_s for point in judgement.budgets),
        cpu_us=traits.cpu_us,
        peak_memory_bytes=traits.peak_memory_bytes,
        latency_p99_us=traits.latency_p99_us,
        updated_at_us=at_us,
    )


def _parts(judgement: Judgement) -> Sequence[tuple[str, str, float]]:
    """Group, metric and value of each part of the breakdown; what is not defined says nothing."""
    found = judgement.evaluation
    groups: _Groups = {
        f"service={MEAN}": found.macro,
        **{f"service={name}": values for name, values in found.services.items()},
        **{f"kind={name}": values for name, values in found.kinds.items()},
        **{f"severity={name}": values for name, values in found.severities.items()},
        **{f"detector={name}": values for name, values in judgement.by_detector.items()},
        **{f"{ACTUAL}={name}": values for name, values in judgement.taken_for.items()},
    }
    return [
        (group, name, value)
        for group, values in sorted(groups.items())
        for name, value in sorted(values.items())
        if value == value  # noqa: PLR0124 -- NaN is unlike itself
    ]
