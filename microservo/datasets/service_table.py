"""`services.parquet`: a row per service of a run, with what is known of it from all other tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from microservo.datasets.arrays import values_of
from microservo.datasets.facts import table_of
from microservo.datasets.formats.columns import coded
from microservo.datasets.formats.reading import Tables
from microservo.datasets.tables import TEXTS, TIME

SERVICES = "services.parquet"
_TRUTHS = ("anomalous", "masked", "normal")
_SAID = {"namespaces": "namespace", "versions": "version", "hosts": "host", "regions": "region"}
_INSTANCE = ("run_id", "service", "instance", "kind", *_SAID.values())
_COUNTED_AS = {"root_cause": "root_cause_of", "affected": "affected_by"}
_COUNTS = ("windows", *_TRUTHS, "root_cause_of", "affected_by")

SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string(), nullable=False) for name in ("run_id", "service", "kind")),
        pa.field("from", TIME),
        pa.field("until", TIME),
        *(pa.field(name, pa.int64(), nullable=False) for name in _COUNTS),
        *(pa.field(name, TEXTS, nullable=False) for name in ("instances", *_SAID, "callers", "callees")),
    ]
)
"""A service without windows has no `from` and `until`; `root_cause_of` and `affected_by` count faults."""


def services_table(tables: Tables) -> pa.Table:
    """One row per service that has windows or said what it is, by name."""
    found = _of_windows(tables)
    for row in tables.table("instances.parquet", *_INSTANCE).to_pylist():
        service = found.setdefault(row["service"], _new(row["run_id"], row["service"], row["kind"]))
        service["instances"].add(row["instance"])
        for name, column in _SAID.items():
            service[name].add(row[column])
    for row in tables.table("effects.parquet", "service", "role").to_pylist():
        counted = _COUNTED_AS.get(row["role"])
        if counted and row["service"] in found:
            found[row["service"]][counted] += 1
    for caller, callee in _edges(tables):
        if caller in found:
            found[caller]["callees"].add(callee)
        if callee in found:
            found[callee]["callers"].add(caller)
    return table_of(SCHEMA, (_listed(found[name]) for name in sorted(found)))


def _new(run_id: str, service: str, kind: str) -> dict[str, Any]:
    row: dict[str, Any] = {"run_id": run_id, "service": service, "kind": kind, "from": None, "until": None}
    row |= dict.fromkeys(_COUNTS, 0)
    return row | {field.name: set() for field in SCHEMA if field.type == TEXTS}


def _of_windows(tables: Tables) -> dict[str, dict[str, Any]]:
    columns = ("run_id", "service", "service_kind", "truth", "start", "end")
    windows = tables.table("windows.parquet", *columns)
    services, kinds = coded(windows.column("service")), coded(windows.column("service_kind"))
    truths, runs = coded(windows.column("truth")), coded(windows.column("run_id"))
    starts, ends = values_of(windows.column("start")), values_of(windows.column("end"))
    found: dict[str, dict[str, Any]] = {}
    for number, name in enumerate(services.texts):
        rows = np.flatnonzero(services.codes == number)
        last = rows[-1]
        service = _new(runs.texts[runs.codes[last]], name, kinds.texts[kinds.codes[last]])
        service |= {"from": int(starts[rows].min()), "until": int(ends[rows].max()), "windows": len(rows)}
        for code, truth in enumerate(truths.texts):
            service[truth] = int((truths.codes[rows] == code).sum())
        found[name] = service
    return found


def _edges(tables: Tables) -> Iterable[tuple[str, str]]:
    graph = tables.table("graph.parquet", "caller", "callee")
    return sorted(set(zip(graph.column(0).to_pylist(), graph.column(1).to_pylist(), strict=True)))


def _listed(service: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: tuple(sorted(filter(None, value))) if isinstance(value, set) else value
        for name, value in service.items()
    }
