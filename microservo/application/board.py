"""What can be asked for about how good algorithms are."""

# Handlers load NumPy when they are called: it takes a while, and most who talk to a system never need it.
# ruff: noqa: PLC0415

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from microservo.application.command import Command, Context
from microservo.application.evaluation_tasks import ListTasks, list_tasks
from microservo.application.runs import LATEST_RUN, run_id_of
from microservo.errors import InvalidInput
from microservo.log.reader import read_state
from schemas.catalogue import EVALUATIONS
from schemas.records import Evaluation

if TYPE_CHECKING:
    from microservo.domain.evaluation.board import Board, Difference
    from microservo.domain.scoring import Tally

BoardFormat = Literal["csv", "json", "html"]
BOARD_FORMATS: tuple[BoardFormat, ...] = ("csv", "json", "html")
ALL_SCENARIOS = "all"
"""Stands for every scenario that there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowBoard(Command["tuple[Board, ...]"]):
    """Asks for boards, the newest evaluation of each algorithm ranked.

    Attributes:
        scenario: a run or a dataset, or one task of it as in run-1/detector; "latest" for the run that began
            last, "all" for whatever there is.
        metrics: shown instead of the usual ones; the first ranks.
        files: of evaluations, as `algorithm evaluate --json` prints them, one a line; read instead of what is
            on the broker.
    """

    scenario: str = LATEST_RUN
    metrics: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareAlgorithms(Command["tuple[Difference, ...]"]):
    """Asks for two algorithms of one scenario, metric by metric.

    Attributes:
        first: name, with or without '@' and a version.
        second: likewise.
        scenario: as of `ShowBoard`; the first board with both counts.
        metrics: likewise; all that either has by default.
        files: likewise.
    """

    first: str
    second: str
    scenario: str = LATEST_RUN
    metrics: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CountMedals(Command["tuple[Tally, ...]"]):
    """Asks who is best how often, over scenarios; attributes as of `ShowBoard`."""

    scenario: str = ALL_SCENARIOS
    files: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportBoard(Command[str]):
    """Asks for boards as the text of a file.

    Attributes:
        format: csv, json, or html: one page that needs nothing but itself.
        scenario: as of `ShowBoard`.
        metrics: likewise.
        files: likewise.
    """

    format: BoardFormat
    scenario: str = LATEST_RUN
    metrics: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()


def show_board(command: ShowBoard, context: Context) -> tuple[Board, ...]:
    """The boards.

    Raises:
        InvalidInput: there is no such scenario or metric, or a file can't be read.
    """
    from microservo.domain.evaluation.board import boards

    return tuple(boards(_evaluations(command.scenario, command.files, context), command.metrics))


def compare_algorithms(command: CompareAlgorithms, context: Context) -> tuple[Difference, ...]:
    """What both have.

    Raises:
        InvalidInput: as `show_board`, or no board has both.
    """
    from microservo.domain.evaluation.board import boards, compare

    evaluations = _evaluations(command.scenario, command.files, context)
    found = boards(evaluations, command.metrics or _metrics_of(evaluations))
    wanted = {command.first, command.second}
    for board in found:
        there = {name for row in board.rows for name in (row.name, row.evaluation.algorithm)}
        if wanted <= there:
            return tuple(compare(board, command.first, command.second))
    names = sorted({row.name for board in found for row in board.rows})
    msg = f"no board has both {command.first!r} and {command.second!r}; there are: {', '.join(names)}"
    raise InvalidInput(msg)


def count_medals(command: CountMedals, context: Context) -> tuple[Tally, ...]:
    """The tallies, the best first.

    Raises:
        InvalidInput: as `show_board`.
    """
    from microservo.domain.evaluation.board import boards, medals

    return tuple(medals(boards(_evaluations(command.scenario, command.files, context))))


def export_board(command: ExportBoard, context: Context) -> str:
    """The text.

    Raises:
        InvalidInput: as `show_board`.
    """
    from microservo.domain.evaluation.board import boards
    from microservo.domain.evaluation.export import to_csv, to_json

    found = boards(_evaluations(command.scenario, command.files, context), command.metrics)
    if command.format == "html":
        from microservo.datasets.board_page import board_page

        return board_page(found)
    return to_csv(found) if command.format == "csv" else to_json(found)


def _evaluations(scenario: str, files: tuple[Path, ...], context: Context) -> list[Evaluation]:
    """The evaluations of a scenario.

    Raises:
        InvalidInput: there are none, or a file can't be read.
    """
    if files:
        known = [each for path in files for each in _in_file(path)]
        wanted = ALL_SCENARIOS if scenario == LATEST_RUN else scenario
    else:
        connection = context.connection
        live = read_state(connection.broker, connection.topic(EVALUATIONS), Evaluation)
        # What an algorithm scored as it came counts more than what a task found later.
        known = list((_of_tasks(context) | live).values())
        wanted = run_id_of(scenario, context) if scenario == LATEST_RUN else scenario
    found = [each for each in known if wanted in (ALL_SCENARIOS, each.scenario, _subject(each))]
    if not found:
        there = ", ".join(sorted({_subject(each) for each in known})) or "none yet"
        msg = f"no algorithm was judged in scenario {wanted!r}; there are: {there}"
        raise InvalidInput(msg)
    return sorted(found, key=lambda each: each.evaluation_id)


def _of_tasks(context: Context) -> dict[str, Evaluation]:
    """What came of evaluation tasks, the newest by evaluation id."""
    done = [each.evaluation for each in list_tasks(ListTasks(), context)]
    found = sorted((each for each in done if each is not None), key=lambda each: each.updated_at_us)
    return {each.evaluation_id: each for each in found}


def _subject(evaluation: Evaluation) -> str:
    """The run or dataset of a scenario."""
    return evaluation.scenario.rpartition("/")[0]


def _metrics_of(evaluations: list[Evaluation]) -> tuple[str, ...]:
    from microservo.domain.scoring import METRICS

    there = {name for each in evaluations for name in each.metrics}
    return tuple(name for name in METRICS if name in there)


def _in_file(path: Path) -> list[Evaluation]:
    try:
        lines = [line for line in path.read_text("utf-8").splitlines() if line.strip()]
        return [_evaluation(json.loads(line)) for line in lines]
    except (OSError, ValueError, TypeError, AttributeError) as error:
        msg = f"{path} can't be read ({error}); expected evaluations in JSON, one a line"
        raise InvalidInput(msg) from error


def _evaluation(document: Mapping[str, Any]) -> Evaluation:
    """The record in a document; what is no number in JSON was NaN."""
    known = {field.name for field in fields(Evaluation)}
    columns: dict[str, Any] = {
        name: tuple(float("nan") if item is None else item for item in value)
        if isinstance(value, list)
        else value
        for name, value in document.items()
        if name in known
    }
    return Evaluation(**columns)
