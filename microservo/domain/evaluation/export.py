"""Boards as text for other programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from math import isfinite
from typing import Any

from microservo.domain.evaluation.board import Board, BoardRow
from microservo.domain.text import printable
from schemas.records import Evaluation

_COLUMNS = (
    *("scenario", "task", "rank", "algorithm", "version", "is_control", "is_fenced", "is_final"),
    *("windows", "scored", "cases", "cpu_us_per_window", "latency_p99_us", "peak_memory_bytes"),
    *("label_revision", "labels_sha256", "input_sha256"),
)

_FORMULA = ("=", "+", "-", "@")


def to_csv(boards: Sequence[Board]) -> str:
    """One line for each algorithm and scenario; a metric's interval is in columns behind it.

    A cell that a spreadsheet would take for a formula begins with an apostrophe.
    """
    names = list(dict.fromkeys(metric.name for board in boards for metric in board.metrics))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*_COLUMNS, *(name + end for name in names for end in ("", "_low", "_high"))])
    for board in boards:
        for row in board.rows:
            facts = _facts(board, row)
            cells = [facts[name] for name in _COLUMNS]
            for name in names:
                interval = row.intervals.get(name)
                ends = (None, None) if interval is None else (interval.low, interval.high)
                cells += [row.values.get(name), *ends]
            writer.writerow([_cell(cell) for cell in cells])
    return out.getvalue()


def to_json(boards: Sequence[Board]) -> str:
    """A document with a list of boards; what is not defined is null."""
    document = [
        {
            "scenario": board.scenario,
            "task": board.task,
            "is_final": board.is_final,
            "metrics": [
                {
                    "name": metric.name,
                    "title": metric.title,
                    "direction": metric.direction,
                    "is_headline": metric.is_headline,
                    "of_random": metric.of_random,
                    "doc": metric.doc,
                }
                for metric in board.metrics
            ],
            "rows": [
                _facts(board, row)
                | {
                    "medal": row.medal,
                    "values": {name: _number(value) for name, value in row.values.items()},
                    "groups": _groups(row.evaluation),
                    "intervals": {
                        name: [_number(each.low), _number(each.high)] for name, each in row.intervals.items()
                    },
                }
                for row in board.rows
            ],
        }
        for board in boards
    ]
    return json.dumps(document, indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def _facts(board: Board, row: BoardRow) -> dict[str, Any]:
    found = row.evaluation
    return {
        "scenario": board.scenario,
        "task": board.task,
        "rank": row.rank,
        "algorithm": found.algorithm,
        "version": found.algorithm_version,
        "is_control": found.is_control,
        "is_fenced": found.is_fenced,
        "is_final": found.is_final,
        "windows": found.windows,
        "scored": found.scored,
        "cases": found.cases,
        "cpu_us_per_window": row.cpu_us_per_window,
        "latency_p99_us": found.latency_p99_us,
        "peak_memory_bytes": found.peak_memory_bytes,
        "label_revision": found.label_revision,
        "labels_sha256": found.labels_sha256,
        "input_sha256": found.input_sha256,
    }


def _groups(evaluation: Evaluation) -> dict[str, dict[str, float]]:
    """Every metric that was broken down, by group; of 'actual=KIND', what faults of KIND were taken for."""
    found: dict[str, dict[str, float]] = {}
    parts = zip(evaluation.groups, evaluation.group_metrics, evaluation.group_values, strict=True)
    for group, name, value in parts:
        found.setdefault(group, {})[name] = value
    return found


def _number(value: float) -> float | None:
    return value if isfinite(value) else None


def _cell(value: object) -> object:
    if value is None or (isinstance(value, float) and not isfinite(value)):
        return ""
    if isinstance(value, str):
        text = printable(value)
        return f"'{text}" if text[:1] in _FORMULA else text
    return value
