"""The board as one page of HTML: tables, and plots drawn as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor, isfinite, log10
from typing import Any

from markupsafe import Markup

from microservo.datasets.pages import own, template
from microservo.domain.deployments import NO_FENCE
from microservo.domain.evaluation.board import Board, BoardRow, groups_of, medals
from microservo.domain.evaluation.breakdown import taken_for
from microservo.domain.scoring import Metric

_COLOURS = 8
"""Of lines and dots, in the style sheet; controls are grey."""
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 420, 230, 42, 34, 10, 14
_DOT_LINE = 26
_DOT_LEFT = 164
FENCED = "fenced"
_LONGEST_NAME = 20
"""Characters that fit beside a line."""


@dataclass(frozen=True, slots=True)
class _Tick:
    """A mark on an axis: where, and what it says."""

    at: float
    text: str


def board_page(boards: Sequence[Board]) -> str:
    """The page of some boards."""
    return template("page/board.html.jinja").render(
        sections=board_sections(boards), css=own("page/page.css") + own("page/board.css")
    )


def board_sections(boards: Sequence[Board]) -> Markup:
    """The sections of some boards and of their medals, for any page with the style sheets of this one."""
    sections = template("page/board_sections.html.jinja").render(
        boards=[_board(board) for board in boards], medals=medals(boards)
    )
    # Our own template has escaped what is in it.
    return Markup(sections)  # noqa: S704


def _board(board: Board) -> dict[str, Any]:
    styles = _styles(board)
    return {
        "scenario": board.scenario,
        "task": board.task,
        "is_final": board.is_final,
        "has_one_truth": board.has_one_truth,
        "metrics": [_head(metric) for metric in board.metrics],
        "rows": [_row(board, row, styles[row.name]) for row in board.rows],
        "updated_at_us": max(row.evaluation.updated_at_us for row in board.rows),
        "counted": board.counted,
        "label_revision": max(row.evaluation.label_revision for row in board.rows),
        "dots": _dots(board, styles),
        "budgets": _budgets(board, styles),
        "heat": _heat(board),
        "answers": _answers(board),
    }


def _styles(board: Board) -> dict[str, str]:
    """A class of the style sheet for each row: its colour, by its place among those that are no controls."""
    serious = [row.name for row in board.rows if not row.evaluation.is_control]
    return {
        row.name: f"c{serious.index(row.name) % _COLOURS}" if row.name in serious else "control"
        for row in board.rows
    }


def _head(metric: Metric) -> dict[str, Any]:
    better = "higher is better" if metric.direction == "higher" else "lower is better"
    chance = f"; by chance {metric.of_random}" if metric.of_random else ""
    return {
        "title": metric.title,
        "doc": f"{metric.doc} {better.capitalize()}{chance}.",
        "is_headline": metric.is_headline,
        "chance": metric.of_random or "-",
    }


def _row(board: Board, row: BoardRow, style: str) -> dict[str, Any]:
    found = row.evaluation
    return {
        "rank": "-" if row.rank is None else str(row.rank),
        "medal": row.medal or "",
        "name": row.name,
        "style": style,
        "is_control": found.is_control,
        "fence": FENCED if found.is_fenced else NO_FENCE,
        "is_fenced": found.is_fenced,
        "cells": [(number(row.values[metric.name]), _interval(row, metric.name)) for metric in board.metrics],
        "cpu": "-" if row.cpu_us_per_window is None else f"{row.cpu_us_per_window / 1000:.2f} ms",
        "latency": "-" if found.latency_p99_us is None else f"{found.latency_p99_us / 1000:.0f} ms",
        "memory": f"{found.peak_memory_bytes / 2**20:.0f} MiB",
        "input": found.input_sha256[:8],
        "labels": f"{found.labels_sha256[:8]} r{found.label_revision}",
    }


def number(value: float) -> str:
    """A value for people; a dash where there is none."""
    return f"{value:.3g}" if isfinite(value) else "-"


def _interval(row: BoardRow, name: str) -> str:
    interval = row.intervals.get(name)
    return "" if interval is None else f"{number(interval.low)} to {number(interval.high)}"


def _dots(board: Board, styles: dict[str, str]) -> dict[str, Any] | None:
    """The metric that ranks, with intervals, one line for each row; None where it has no bounds."""
    metric = board.metrics[0]
    if not (isfinite(metric.low) and isfinite(metric.high)):
        return None
    span = metric.high - metric.low

    def x(value: float) -> float:
        return round(_DOT_LEFT + (value - metric.low) / span * (_WIDTH - _DOT_LEFT - _RIGHT), 1)

    lines = []
    for place, row in enumerate(board.rows):
        value, interval = row.values[metric.name], row.intervals.get(metric.name)
        if isfinite(value):
            lines.append(
                {
                    "name": _shortened(row.name),
                    "style": styles[row.name],
                    "y": _TOP + _DOT_LINE * place + _DOT_LINE / 2,
                    "x": x(value),
                    "ends": None if interval is None else (x(interval.low), x(interval.high)),
                    "says": f"{row.name}: {number(value)} {_interval(row, metric.name)}".strip(),
                }
            )
    ticks = [metric.low + span * part / 4 for part in range(5)]
    return {
        "title": metric.title,
        "width": _WIDTH,
        "height": _TOP + _DOT_LINE * len(board.rows) + _BOTTOM,
        "bottom": _TOP + _DOT_LINE * len(board.rows),
        "left": _DOT_LEFT,
        "lines": lines,
        "ticks": [_Tick(x(value), number(value)) for value in ticks],
    }


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def _budgets(board: Board, styles: dict[str, str]) -> list[dict[str, Any]]:
    """What is found, and how soon, against the false alarms that are allowed."""
    rows = [row for row in board.rows if row.evaluation.budgets_per_hour]
    if not rows:
        return []
    budgets = rows[0].evaluation.budgets_per_hour
    delays = [value for row in rows for value in row.evaluation.budget_delays_s if isfinite(value)]
    return [
        _lines(
            "Incidents found", budgets, 1.0, [(row, row.evaluation.budget_recalls) for row in rows], styles
        ),
        _lines(
            "Median delay from apply, s",
            budgets,
            _round_above(max(delays, default=1.0)),
            [(row, row.evaluation.budget_delays_s) for row in rows],
            styles,
        ),
    ]


def _round_above(value: float) -> float:
    """A number above a value, of which quarters are easy to read."""
    power = 10.0 ** floor(log10(max(value, 1.0)))
    return next(each * power for each in (1.0, 2.0, 4.0, 8.0, 16.0) if each * power >= value)


def _lines(
    title: str,
    budgets: Sequence[float],
    highest: float,
    columns: Sequence[tuple[BoardRow, Sequence[float]]],
    styles: dict[str, str],
) -> dict[str, Any]:
    low, high = log10(min(budgets)), log10(max(budgets))

    def x(budget: float) -> float:
        return round(_LEFT + (log10(budget) - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(value: float) -> float:
        return round(_HEIGHT - _BOTTOM - value / highest * (_HEIGHT - _BOTTOM - _TOP), 1)

    lines = []
    for row, values in columns:
        points = [
            (x(budget), y(value)) for budget, value in zip(budgets, values, strict=True) if isfinite(value)
        ]
        lines.append(
            {
                "name": row.name,
                "style": styles[row.name],
                "path": " ".join(f"{across},{up}" for across, up in points),
                "points": points,
            }
        )
    return {
        "title": title,
        "width": _WIDTH,
        "height": _HEIGHT,
        "left": _LEFT,
        "right": _WIDTH - _RIGHT,
        "bottom": _HEIGHT - _BOTTOM,
        "lines": lines,
        "ticks_x": [_Tick(x(budget), f"{budget:g}") for budget in budgets],
        "ticks_y": [_Tick(y(highest * part / 4), number(highest * part / 4)) for part in range(5)],
    }


def _heat(board: Board) -> dict[str, Any] | None:
    """The metric that ranks by kind of fault; None where it was not broken down."""
    metric = board.metrics[0]
    by_row = {row.name: groups_of(row.evaluation, "kind", metric.name) for row in board.rows}
    kinds = sorted({kind for values in by_row.values() for kind in values})
    if not kinds or not isfinite(metric.high):
        return None
    return {
        "title": metric.title,
        "is_of_windows": board.rows[0].evaluation.windows > 0,
        "kinds": kinds,
        "rows": [
            {
                "name": row.name,
                "is_control": row.evaluation.is_control,
                "cells": [_heat_cell(by_row[row.name].get(kind), metric) for kind in kinds],
            }
            for row in board.rows
        ],
    }


def _answers(board: Board) -> dict[str, Any] | None:
    """What each kind of fault was taken for; None where there is no classifier."""
    by_row = {row.name: taken_for(row.evaluation) for row in board.rows}
    kinds = sorted({kind for said in by_row.values() for kind in said})
    if not kinds:
        return None
    return {
        "names": list(by_row),
        "rows": [
            {"kind": kind, "cells": [_said(kind, said.get(kind, {})) for said in by_row.values()]}
            for kind in kinds
        ],
    }


def _said(kind: str, said: Mapping[str, int]) -> list[tuple[str, bool]]:
    """Each kind that was said with how often, and whether it is right."""
    return [(f"{name or 'no answer'} {count}", name == kind) for name, count in said.items()]


def _heat_cell(value: float | None, metric: Metric) -> tuple[str, int]:
    """What it says, and how strong its colour is, in percent."""
    if value is None:
        return "-", 0
    share = (value - metric.low) / (metric.high - metric.low)
    return number(value), round(100 * (share if metric.direction == "higher" else 1 - share))
