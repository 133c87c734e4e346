"""A board's metric by kind, severity or service of faults, or by detector; and what faults were taken for.

Values by kind and severity are as if there were no other faults: normal windows and false alarms are those of
all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from microservo.domain.evaluation.board import Board, groups_of
from microservo.domain.scoring import Metric
from schemas.records import Evaluation

By = Literal["kind", "severity", "service", "detector"]
BREAKDOWNS: tuple[By, ...] = get_args(By)
MEAN = "*"
"""Stands for the mean over services."""
ACTUAL = "actual"
"""Groups that hold the rows of a confusion matrix, by what the faults really were."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """A metric of the algorithms of a board, group by group.

    Attributes:
        metric: the first one of the board that was broken down so.
        groups: in ascending order, the mean over services first.
        values: by name of the algorithm, by group; without those where it is not defined.
    """

    metric: Metric
    groups: tuple[str, ...]
    values: Mapping[str, Mapping[str, float]]


def breakdown(board: Board, by: By) -> Breakdown | None:
    """A board's metric by groups; None where none was broken down so, as while the run goes on."""
    for metric in board.metrics:
        values = {row.name: groups_of(row.evaluation, by, metric.name) for row in board.rows}
        if groups := sorted({group for own in values.values() for group in own}):
            return Breakdown(metric=metric, groups=tuple(groups), values=values)
    return None


def taken_for(evaluation: Evaluation) -> dict[str, dict[str, int]]:
    """What a classifier took faults for: kind to the kinds it said and how often, the most frequent first.

    An empty text stands for no answer.
    """
    found: dict[str, dict[str, int]] = {}
    parts = zip(evaluation.groups, evaluation.group_metrics, evaluation.group_values, strict=True)
    for group, said, count in sorted(parts, key=lambda part: (part[0], -part[2], part[1])):
        prefix, _, kind = group.partition("=")
        if prefix == ACTUAL:
            found.setdefault(kind, {})[said] = int(count)
    return found
