"""Tables that hold what lies on a topic as it is: faults, scores, the service graph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from microservo.datasets.tables import FAULTS, GRAPH, INSTANCES, LEDGER, READINGS, SCORES
from microservo.domain.datasets.ledger import LedgerRow, added_up
from schemas.codec import encode
from schemas.records import AnomalyScore, FaultEvent, ServiceGraph, ServiceInstance

T = TypeVar("T")


def fault_events_table(events: Iterable[FaultEvent]) -> pa.Table:
    """Every version of every fault, by request, fault, version and instance."""
    distinct = {_canonical_bytes(event): event for event in events}
    return _fault_rows(event for _, event in sorted(distinct.items(), key=_place_of_event))


def faults_table(events: Iterable[FaultEvent]) -> pa.Table:
    """One row per fault and instance, by its highest version, in order of request and instance.

    What was said of a fault as a whole stands only where there is no instance, as for a refused request.
    """
    newest: dict[tuple[str, str], FaultEvent] = {}
    for event in events:
        known = newest.get((event.fault_id, event.instance))
        if known is None or _rank(event) > _rank(known):
            newest[event.fault_id, event.instance] = event
    placed = {fault_id for fault_id, instance in newest if instance}
    shown = [event for event in newest.values() if event.instance or event.fault_id not in placed]
    return _fault_rows(
        sorted(shown, key=lambda event: (event.requested_at_us, event.fault_id, event.instance))
    )


def scores_table(scores: Iterable[AnomalyScore]) -> pa.Table:
    """What the algorithms said, by window, service, algorithm and time."""
    distinct = {repr(score): score for score in scores}.values()
    ordered = sorted(
        distinct,
        key=lambda score: (
            *(score.start_us, score.service, score.algorithm, score.revision),
            *(score.scored_at_us, repr(score)),
        ),
    )
    return _rows(SCORES, (asdict(score) for score in ordered))


def graph_table(graphs: Iterable[ServiceGraph]) -> pa.Table:
    """Who called whom, one row per edge and interval, by interval, caller and callee."""
    edges = {edge for graph in graphs for edge in _edges(graph)}
    names = ("start_us", "end_us", "caller", "callee", "callee_kind", "calls", "errors", "run_id")
    return _rows(GRAPH, (dict(zip(names, edge, strict=True)) for edge in sorted(edges)))


def instances_table(instances: Iterable[ServiceInstance]) -> pa.Table:
    """What instances said of themselves, by the instant it was seen, service and instance."""
    distinct = {repr(each): each for each in instances}.values()
    ordered = sorted(distinct, key=lambda each: (each.seen_us, each.service, each.instance, repr(each)))
    return _rows(INSTANCES, (asdict(each) for each in ordered))


def ledger_table(rows: Iterable[LedgerRow]) -> pa.Table:
    """The ledger by minute, source and service."""
    return _rows(LEDGER, (asdict(row) for row in added_up(rows)))


def ledger_rows(path: Path) -> Iterator[LedgerRow]:
    """The rows of a ledger's file.

    Raises:
        OSError: it can't be read.
        pyarrow.ArrowInvalid: it is not Parquet, or damaged.
    """
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches():
            minutes = batch.column("minute").cast(pa.int64()).to_pylist()
            rows = batch.drop_columns(["minute"]).to_pylist()
            for minute, row in zip(minutes, rows, strict=True):
                yield LedgerRow(minute_us=minute, **row)


def _place_of_event(item: tuple[bytes, FaultEvent]) -> tuple[int, str, int, str, bytes]:
    value, event = item
    return event.requested_at_us, event.fault_id, event.version, event.instance, value


def _edges(graph: ServiceGraph) -> Iterator[tuple[int, int, str, str, str, int, int, str]]:
    kinds = graph.callee_kinds or ("",) * len(graph.callees)
    columns = zip(graph.callers, graph.callees, kinds, graph.calls, graph.errors, strict=True)
    for edge in columns:
        yield graph.start_us, graph.end_us, *edge, graph.run_id


def _rank(event: FaultEvent) -> tuple[int, bytes]:
    return event.version, _canonical_bytes(event)


def _canonical_bytes(event: FaultEvent) -> bytes:
    return encode(replace(event, parameters=dict(sorted(event.parameters.items()))))


def _fault_rows(events: Iterable[FaultEvent]) -> pa.Table:
    return _rows(FAULTS, map(_fault_row, events))


def _fault_row(event: FaultEvent) -> dict[str, Any]:
    row = asdict(event) | {"parameters": sorted(event.parameters.items())}
    for name in READINGS:
        row[f"{name.removesuffix('_at')}_within_us"] = None if row[f"{name}_us"] is None else 1
    return row


def _rows(schema: pa.Schema, rows: Iterable[dict[str, Any]]) -> pa.Table:
    """A table from fields of records: a column `start` takes the field `start_us`."""
    listed = list(rows)
    columns = {field.name: [_field(row, field) for row in listed] for field in schema}
    return pa.table(columns, schema=schema)


def _field(row: dict[str, Any], field: Any) -> Any:
    return row[f"{field.name}_us"] if pa.types.is_timestamp(field.type) else row[field.name]
