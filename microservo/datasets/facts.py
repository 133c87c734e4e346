"""Tables that hold what lies on a topic as it is: scores, the service graph, instances; and the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from microservo.datasets.arrays import array_of
from microservo.datasets.tables import GRAPH, INSTANCES, LEDGER, SCORES
from microservo.domain.datasets.ledger import LedgerRow, added_up
from schemas.records import AnomalyScore, ServiceGraph, ServiceInstance

T = TypeVar("T")


def table_of(schema: pa.Schema, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """A table of rows by column; a text that is empty is null in a column that may be."""
    listed = list(rows)
    arrays = [array_of([_cell(row[field.name], field) for row in listed], field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


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
    return table_of(SCORES, map(_row, ordered))


def graph_table(graphs: Iterable[ServiceGraph]) -> pa.Table:
    """Who called whom, one row per edge and interval, by interval, caller and callee."""
    edges = {edge for graph in graphs for edge in _edges(graph)}
    names = ("start", "end", "caller", "callee", "callee_kind", "calls", "errors", "run_id")
    return table_of(GRAPH, (dict(zip(names, edge, strict=True)) for edge in sorted(edges)))


def instances_table(instances: Iterable[ServiceInstance]) -> pa.Table:
    """What instances said of themselves, by the instant it was seen, service and instance."""
    distinct = {repr(each): each for each in instances}.values()
    ordered = sorted(distinct, key=lambda each: (each.seen_us, each.service, each.instance, repr(each)))
    return table_of(INSTANCES, map(_row, ordered))


def ledger_table(rows: Iterable[LedgerRow]) -> pa.Table:
    """The ledger by minute, source and service."""
    return table_of(LEDGER, map(_row, added_up(rows)))


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


def _edges(graph: ServiceGraph) -> Iterator[tuple[int, int, str, str, str, int, int, str]]:
    kinds = graph.callee_kinds or ("",) * len(graph.callees)
    columns = zip(graph.callers, graph.callees, kinds, graph.calls, graph.errors, strict=True)
    for edge in columns:
        yield graph.start_us, graph.end_us, *edge, graph.run_id


def _row(record: Any) -> dict[str, Any]:
    """The fields of a record by column: `start` is `start_us`."""
    fields = asdict(record)
    return fields | {name.removesuffix("_us"): value for name, value in fields.items()}


def _cell(value: Any, field: Any) -> Any:
    return None if value == "" and field.nullable else value
