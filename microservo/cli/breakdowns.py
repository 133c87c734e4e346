"""A board group by group: a line for each group, a column for each algorithm."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Literal

from microservo.cli.output import print_line, print_table
from microservo.cli.text import styled

if TYPE_CHECKING:
    from microservo.domain.evaluation.board import Board

By = Literal["kind", "severity", "service", "detector", "answer"]

_WHAT: Mapping[By, str] = {
    "kind": "kind of fault",
    "severity": "severity of the fault",
    "service": "service",
    "detector": "detector whose alarms it was told",
    "answer": "kind of fault",
}


def print_breakdown(board: Board, by: By) -> None:
    """Prints the first metric that was broken down so, or what each kind of fault was taken for."""
    if by == "answer":
        title, groups, cells = "what faults were taken for", *_answers(board)
    else:
        title, groups, cells = _values(board, by)
    print_line(styled(board.scenario, bold=True), f" - {title}")
    if not groups:
        print_line(styled(f"nothing is known by {_WHAT[by]}; most comes at the end of a run", dim=True))
        return
    names = [row.name for row in board.rows]
    rows = [(_group(group), *(cells[name].get(group, "-") for name in names)) for group in groups]
    print_table((_WHAT[by], *names), rows)


def _values(
    board: Board, by: Literal["kind", "severity", "service", "detector"]
) -> tuple[str, tuple[str, ...], Mapping[str, Mapping[str, str]]]:
    from microservo.domain.evaluation.breakdown import breakdown  # noqa: PLC0415  # loads NumPy

    found = breakdown(board, by)
    if found is None:
        return board.metrics[0].title, (), {}
    cells = {
        name: {group: f"{value:.3g}" for group, value in values.items()}
        for name, values in found.values.items()
    }
    return found.metric.title, found.groups, cells


def _answers(board: Board) -> tuple[tuple[str, ...], Mapping[str, Mapping[str, str]]]:
    from microservo.domain.evaluation.breakdown import taken_for  # noqa: PLC0415  # as above

    cells = {
        row.name: {kind: _said_text(said.items()) for kind, said in taken_for(row.evaluation).items()}
        for row in board.rows
    }
    return tuple(sorted({kind for own in cells.values() for kind in own})), cells


def _said_text(said: Iterable[tuple[str, int]]) -> str:
    """Kinds that were said, each with how often."""
    return ", ".join(f"{kind or 'no answer'} {count}" for kind, count in said)


def _group(name: str) -> str:
    return "mean of services" if name == "*" else name
