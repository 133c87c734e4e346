"""Evaluations as a board: who is better than whom in a scenario, and by which metric.

A metric that random can win never decides; beside each stands what chance gets. Controls stand in the table
like all others, and are marked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import isnan
from operator import attrgetter

from microservo.domain.scoring import METRICS, Interval, Metric, Row, Tally, medal_tally, standings
from microservo.domain.scoring.leaderboard import Medal
from microservo.errors import InvalidInput
from schemas.records import AlgorithmTask, Evaluation

SHOWN: Mapping[AlgorithmTask, tuple[str, ...]] = {
    "detector": (
        *("auc_pr", "vus_pr", "event_recall_at_1_per_hour", "lift_over_random", "lift_over_constant"),
        *("false_alarms_per_hour", "delay_from_apply_p50_s", "missed_share", "coverage"),
    ),
    "ranker": (
        *("ac_1", "ac_3", "avg_5", "mrr", "chance_1"),
        *("chained_ac_1", "chained_ac_3", "chained_avg_5", "chained_mrr"),
    ),
    "classifier": ("macro_f1", "micro_f1", "weighted_f1"),
}
"""What a board shows if nothing else is asked for, as far as any row has it; the first one ranks."""

_TASKS: tuple[AlgorithmTask, ...] = ("detector", "ranker", "classifier")


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardRow:
    """An algorithm on a board.

    Attributes:
        rank: on the board's first metric; None without a value.
        medal: for the same; never of a control, or of who is not better than each of them.
        evaluation: all that is known.
        values: by metric of the board; NaN where it is not defined.
        intervals: likewise, where there are any.
    """

    rank: int | None
    medal: Medal | None
    evaluation: Evaluation
    values: Mapping[str, float]
    intervals: Mapping[str, Interval]

    @property
    def name(self) -> str:
        """Name and version."""
        return _name(self.evaluation)

    @property
    def cpu_us_per_window(self) -> float | None:
        """Processor time for each answer; None before the first."""
        found = self.evaluation
        return found.cpu_us / found.scored if found.scored else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """A scenario with its rows, the best first.

    Attributes:
        metrics: that are shown; the first one ranks.
    """

    scenario: str
    task: AlgorithmTask
    metrics: tuple[Metric, ...]
    rows: tuple[BoardRow, ...]

    @property
    def counted(self) -> str:
        """What its rows were judged on, in words."""
        windows = max(row.evaluation.windows for row in self.rows)
        cases = max(row.evaluation.cases for row in self.rows)
        # A detector is judged by windows; those who are asked about cases, by faults.
        what = "incident" if windows else "fault"
        counted = f"{cases} {what}{'' if cases == 1 else 's'}"
        return f"{windows:,} windows, {counted}" if windows else counted

    @property
    def is_final(self) -> bool:
        """Whether all rows are."""
        return all(row.evaluation.is_final for row in self.rows)

    @property
    def has_one_truth(self) -> bool:
        """Whether all rows were held against the same labels: those of a moment ago may be on their way."""
        return len({row.evaluation.labels_sha256 for row in self.rows}) == 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Two algorithms on one metric.

    Attributes:
        metric: which.
        values: of both.
        intervals: of both; None where there is none.
        better: name of the better one; None where neither is, or one has no value.
        is_clear: whether their intervals don't touch.
    """

    metric: Metric
    values: tuple[float, float]
    intervals: tuple[Interval | None, Interval | None]
    better: str | None
    is_clear: bool


def boards(evaluations: Iterable[Evaluation], metrics: Sequence[str] = ()) -> list[Board]:
    """The board of each scenario: detectors before rankers and classifiers.

    Args:
        evaluations: of any scenarios.
        metrics: shown instead of the usual ones; each on the boards of its task.

    Raises:
        InvalidInput: a metric is unknown.
    """
    if unknown := [name for name in metrics if name not in METRICS]:
        msg = f"unknown metric {unknown[0]!r}; expected some of {', '.join(METRICS)}"
        raise InvalidInput(msg)
    ordered = sorted(evaluations, key=lambda each: (_TASKS.index(_task(each)), each.scenario))
    found = (
        _board(scenario, list(rows), metrics) for scenario, rows in groupby(ordered, attrgetter("scenario"))
    )
    return [board for board in found if board.metrics]


def compare(board: Board, first: str, second: str) -> list[Difference]:
    """Two algorithms of a board, metric by metric.

    Args:
        board: with both.
        first: name, with or without '@' and a version; the newest counts.
        second: likewise.

    Raises:
        InvalidInput: one is not on the board.
    """
    one, other = _row(board, first), _row(board, second)
    return [_difference(metric, one, other) for metric in board.metrics]


def medals(found: Sequence[Board]) -> list[Tally]:
    """Medals over scenarios, of the newest version of each algorithm; one for each headline metric."""
    tallies: dict[str, Tally] = {}
    for task in _TASKS:
        own = [board for board in found if board.task == task]
        names = [metric.name for metric in METRICS.values() if metric.task == task and metric.is_headline]
        for each in medal_tally([_newest(board) for board in own], names):
            tallies[each.algorithm] = each
    return sorted(tallies.values(), key=lambda each: (-each.gold, -each.silver, -each.bronze, each.algorithm))


def values_of(evaluation: Evaluation) -> dict[str, float]:
    """All values by name of the metric."""
    return dict(zip(evaluation.metrics, evaluation.values, strict=True))


def groups_of(evaluation: Evaluation, prefix: str, metric: str) -> dict[str, float]:
    """A metric by the name of a group, as of 'kind'."""
    parts = zip(evaluation.groups, evaluation.group_metrics, evaluation.group_values, strict=True)
    return {
        group.removeprefix(f"{prefix}="): value
        for group, name, value in parts
        if name == metric and group.startswith(f"{prefix}=")
    }


def _board(scenario: str, evaluations: Sequence[Evaluation], asked: Sequence[str]) -> Board:
    task = _task(evaluations[0])
    there = {name for each in evaluations for name in each.metrics}
    names = [name for name in asked or SHOWN[task] if METRICS[name].task == task and (asked or name in there)]
    # Who never answered has no place, also where nobody else stands.
    rows = [
        Row(algorithm=_name(each), is_control=each.is_control, values=values_of(each) if each.scored else {})
        for each in evaluations
    ]
    by_name = {_name(each): each for each in evaluations}
    placed = standings(rows, names[0]) if names else []
    return Board(
        scenario=scenario,
        task=task,
        metrics=tuple(METRICS[name] for name in names),
        rows=tuple(
            BoardRow(
                rank=each.rank,
                medal=each.medal,
                evaluation=by_name[each.algorithm],
                values={name: values_of(by_name[each.algorithm]).get(name, float("nan")) for name in names},
                intervals={
                    name: interval
                    for name, interval in _intervals(by_name[each.algorithm]).items()
                    if name in names
                },
            )
            for each in placed
        ),
    )


def _difference(metric: Metric, one: BoardRow, other: BoardRow) -> Difference:
    values = (one.values[metric.name], other.values[metric.name])
    intervals = (one.intervals.get(metric.name), other.intervals.get(metric.name))
    better = None
    if not any(map(isnan, values)) and values[0] != values[1]:
        is_first = (values[0] > values[1]) == (metric.direction == "higher")
        better = one.name if is_first else other.name
    first, second = intervals
    is_clear = (
        first is not None and second is not None and (first.low > second.high or second.low > first.high)
    )
    return Difference(metric=metric, values=values, intervals=intervals, better=better, is_clear=is_clear)


def _newest(board: Board) -> list[Row]:
    newest: dict[str, Evaluation] = {}
    for each in (row.evaluation for row in board.rows):
        known = newest.get(each.algorithm)
        if known is None or known.algorithm_version < each.algorithm_version:
            newest[each.algorithm] = each
    return [
        Row(algorithm=name, is_control=each.is_control, values=values_of(each))
        for name, each in newest.items()
    ]


def _row(board: Board, name: str) -> BoardRow:
    found = [row for row in board.rows if name in (row.name, row.evaluation.algorithm)]
    if not found:
        there = ", ".join(row.name for row in board.rows)
        msg = f"{name!r} is not on the board of {board.scenario}; there are: {there}"
        raise InvalidInput(msg)
    return max(found, key=lambda row: row.evaluation.algorithm_version)


def _intervals(evaluation: Evaluation) -> dict[str, Interval]:
    columns = zip(evaluation.metrics, evaluation.lows, evaluation.highs, strict=True)
    return {name: Interval(low, high) for name, low, high in columns if not isnan(low)}


def _name(evaluation: Evaluation) -> str:
    return f"{evaluation.algorithm}@{evaluation.algorithm_version}"


def _task(evaluation: Evaluation) -> AlgorithmTask:
    task = next((each for each in _TASKS if each == evaluation.task), None)
    if task is None:
        msg = f"{evaluation.evaluation_id} is of task {evaluation.task!r}; expected {', '.join(_TASKS)}"
        raise InvalidInput(msg)
    return task
