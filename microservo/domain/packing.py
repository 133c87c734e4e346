"""Rows into packed batches, as `microservo.domain.telemetry` reads them (docs/decisions/0003-columns.md).

All rows of a service are joined, sorted by event time (a span's is its end; rows of equal time stay in their
order) and cut into batches whose dictionaries hold what occurs in them and no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microservo.domain.rows import Coded, Codes, LogRows, MetricRows, Rows, SpanRows, coded
from microservo.domain.telemetry import LAYOUTS, Layout
from schemas.records import LogBatch, MetricBatch, SpanBatch

MAX_RECORDS = 500
"""Records of one message: enough to make the cost per message small, few enough to be decoded in a moment."""
MAX_BODY_BYTES = 512 * 1024
"""Text of one message's log lines; keeps a message of the longest lines below the topic's limit."""

Admit = Callable[[str], str]
"""Returns the name under which a name goes on: itself, or `<other>` where there are too many."""


def pack_metrics(run_id: str, rows: Sequence[MetricRows]) -> Iterator[MetricBatch]:
    """Batches of one service's metric points; `rows` must not be empty and all of one service."""
    for fields in _packed(LAYOUTS["metrics"], rows, {"name": _as_it_is}):
        yield MetricBatch(run_id=run_id, **_sender(rows), **fields)


def pack_logs(run_id: str, rows: Sequence[LogRows], *, admit_template: Admit) -> Iterator[LogBatch]:
    """Batches of one service's log lines; `rows` must not be empty and all of one service."""
    body_bytes = np.array([len(body.encode()) for each in rows for body in each.bodies], np.int64)
    for fields in _packed(LAYOUTS["logs"], rows, {"template": admit_template}, body_bytes):
        yield LogBatch(run_id=run_id, **_sender(rows), **fields)


def pack_spans(run_id: str, rows: Sequence[SpanRows], *, admit_peer: Admit) -> Iterator[SpanBatch]:
    """Batches of one service's spans; `rows` must not be empty and all of one service."""
    for fields in _packed(LAYOUTS["traces"], rows, {"endpoint": _as_it_is, "peer": admit_peer}):
        yield SpanBatch(run_id=run_id, **_sender(rows), **fields)


def _as_it_is(name: str) -> str:
    return name


def _sender(rows: Sequence[Rows]) -> dict[str, Any]:
    return {"service": rows[0].service, "source_kind": rows[0].identity.kind}


def _packed(
    layout: Layout,
    rows: Sequence[Rows],
    admits: Mapping[str, Admit],
    weight_bytes: NDArray[np.int64] | None = None,
) -> Iterator[dict[str, Any]]:
    """The columns and dictionaries of each batch, by the names that they have in it."""
    texts = {name: _joined([getattr(each, name) for each in rows], admit) for name, admit in admits.items()}
    texts["instance"] = _instances(rows)
    numbers = {
        name: joined
        for name, dtype in layout.numbers.items()
        if name not in texts
        and (joined := _column([getattr(each, name) for each in rows], rows, dtype)) is not None
    }
    arrays = {name: [item for each in rows for item in getattr(each, name)] for name in layout.arrays}
    time_us = numbers[layout.time]
    if "duration_us" in numbers:
        time_us = time_us + numbers["duration_us"]
    for part in _parts(time_us, weight_bytes):
        fields: dict[str, Any] = {name: column[part].tobytes() for name, column in numbers.items()}
        for name, column in texts.items():
            fields[layout.indexes[name]], fields[name] = _dictionary(column, part)
        for name, items in arrays.items():
            fields[name] = tuple([items[index] for index in part.tolist()])
        yield fields


def _column(
    columns: Sequence[NDArray[Any] | None], rows: Sequence[Rows], dtype: np.dtype[Any]
) -> NDArray[Any] | None:
    """The columns one after the other, zeros for those that are left out; None where all are."""
    given = [column for column in columns if column is not None]
    if len(given) < len(columns):
        if not given:
            return None
        sizes = zip(columns, rows, strict=True)
        given = [np.zeros(each.count, dtype) if column is None else column for column, each in sizes]
    return _concatenated(given, dtype)


def _concatenated(columns: Sequence[NDArray[Any]], dtype: np.dtype[Any]) -> NDArray[Any]:
    column = columns[0] if len(columns) == 1 else np.concatenate(columns)
    return column if column.dtype == dtype else column.astype(dtype)


def _instances(rows: Sequence[Rows]) -> Coded:
    """The instance of every row."""
    each = coded(row.instance for row in rows)
    return Coded(names=each.names, codes=np.repeat(each.codes, [row.count for row in rows]))


def _joined(columns: Sequence[Coded], admit: Admit) -> Coded:
    """Coded columns one after the other, under one dictionary of admitted names."""
    index: dict[str, int] = {}
    parts = []
    for column in columns:
        renamed = [index.setdefault(name, len(index)) for name in map(admit, column.names)]
        parts.append(np.array(renamed, np.int64)[column.codes])
    return Coded(names=tuple(index), codes=np.concatenate(parts))


def _parts(time_us: NDArray[np.int64], weight_bytes: NDArray[np.int64] | None = None) -> Iterator[Codes]:
    """Positions of the rows of each batch, in the order of time."""
    order = np.argsort(time_us, kind="stable")
    start = 0
    filled = None if weight_bytes is None else np.cumsum(weight_bytes[order])
    while start < len(order):
        end = start + MAX_RECORDS
        if filled is not None:
            before = int(filled[start - 1]) if start else 0
            fitting = int(np.searchsorted(filled, before + MAX_BODY_BYTES, side="right"))
            end = min(end, max(fitting, start + 1))
        yield order[start:end]
        start = end


def _dictionary(column: Coded, part: Codes) -> tuple[tuple[str, ...], bytes]:
    """What occurs in a part: its names, and the index of each row into them."""
    codes = column.codes[part]
    is_used = np.bincount(codes, minlength=len(column.names)) > 0
    if is_used.all():
        return column.names, codes.astype("<u2").tobytes()
    numbers = np.cumsum(is_used) - 1
    used = np.flatnonzero(is_used).tolist()
    return tuple([column.names[index] for index in used]), numbers[codes].astype("<u2").tobytes()
