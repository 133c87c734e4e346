"""Rows into packed batches, as `microservo.domain.telemetry` reads them (docs/decisions/0003-columns.md).

All rows of a service are joined, sorted by event time (a span's is its end; rows of equal time stay in their
order) and cut into batches whose dictionaries hold what occurs in them and no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microservo.domain.rows import Coded, Codes, LogRows, MetricRows, Rows, SpanRows, coded
from schemas.records import LogBatch, MetricBatch, SpanBatch

MAX_RECORDS = 500
"""Records of one message: enough to make the cost per message small, few enough to be decoded in a moment."""
MAX_BODY_BYTES = 512 * 1024
"""Text of one message's log lines; keeps a message of the longest lines below the topic's limit."""

Admit = Callable[[str], str]
"""Gives the name under which a name goes on: itself, or `<other>` where there are too many."""


def pack_metrics(run_id: str, rows: Sequence[MetricRows], *, admit_name: Admit) -> Iterator[MetricBatch]:
    """Batches of one service's metric points; `rows` must not be empty and all of one service."""
    instance = _instances(rows)
    name = _joined([each.name for each in rows], admit_name)
    time_us = np.concatenate([each.time_us for each in rows])
    value = np.concatenate([each.value for each in rows])
    for part in _parts(time_us):
        instances, instance_column = _dictionary(instance, part)
        names, name_column = _dictionary(name, part)
        yield MetricBatch(
            run_id=run_id,
            service=rows[0].service,
            instances=instances,
            names=names,
            time_us=_bytes(time_us[part], "<i8"),
            instance=instance_column,
            name=name_column,
            value=_bytes(value[part], "<f8"),
        )


def pack_logs(run_id: str, rows: Sequence[LogRows], *, admit_template: Admit) -> Iterator[LogBatch]:
    """Batches of one service's log lines; `rows` must not be empty and all of one service."""
    instance = _instances(rows)
    template = _joined([each.template for each in rows], admit_template)
    time_us = np.concatenate([each.time_us for each in rows])
    severity = np.concatenate([each.severity for each in rows])
    trace_id = np.concatenate([each.trace_id for each in rows])
    span_id = np.concatenate([each.span_id for each in rows])
    line_id = np.concatenate([each.line_id for each in rows])
    bodies = [body for each in rows for body in each.bodies]
    body_bytes = np.array([len(body.encode()) for body in bodies], np.int64)
    for part in _parts(time_us, body_bytes):
        instances, instance_column = _dictionary(instance, part)
        templates, template_column = _dictionary(template, part)
        yield LogBatch(
            run_id=run_id,
            service=rows[0].service,
            instances=instances,
            templates=templates,
            time_us=_bytes(time_us[part], "<i8"),
            instance=instance_column,
            severity=_bytes(severity[part], "u1"),
            template=template_column,
            trace_id=trace_id[part].tobytes(),
            span_id=span_id[part].tobytes(),
            line_id=_bytes(line_id[part], "<u8"),
            bodies=tuple([bodies[index] for index in part.tolist()]),
        )


def pack_spans(
    run_id: str, rows: Sequence[SpanRows], *, admit_endpoint: Admit, admit_peer: Admit
) -> Iterator[SpanBatch]:
    """Batches of one service's spans; `rows` must not be empty and all of one service."""
    instance = _instances(rows)
    endpoint = _joined([each.endpoint for each in rows], admit_endpoint)
    peer = _joined([each.peer for each in rows], admit_peer)
    columns = {
        name: np.concatenate([getattr(each, name) for each in rows])
        for name in ("start_us", "duration_us", "kind", "error", "trace_id", "span_id", "parent_id")
    }
    for part in _parts(columns["start_us"] + columns["duration_us"]):
        instances, instance_column = _dictionary(instance, part)
        endpoints, endpoint_column = _dictionary(endpoint, part)
        peers, peer_column = _dictionary(peer, part)
        yield SpanBatch(
            run_id=run_id,
            service=rows[0].service,
            instances=instances,
            endpoints=endpoints,
            peers=peers,
            instance=instance_column,
            endpoint=endpoint_column,
            peer=peer_column,
            **{name: _little_endian(column[part]) for name, column in columns.items()},
        )


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
    used, codes = np.unique(column.codes[part], return_inverse=True)
    return tuple([column.names[index] for index in used.tolist()]), _bytes(codes, "<u2")


def _bytes(column: NDArray[Any], dtype: str) -> bytes:
    return column.astype(dtype, copy=False).tobytes()


def _little_endian(column: NDArray[Any]) -> bytes:
    return column.astype(column.dtype.newbyteorder("<"), copy=False).tobytes()
