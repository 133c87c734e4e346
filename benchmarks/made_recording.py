"""A recording to export and import: the made-up dataset of the tests, but longer; its telemetry as OTLP."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks.processes import ROOT

sys.path.append(str(ROOT / "tests" / "support"))

from made_dataset import Made, MadeFault, write_dataset  # found by what stands above

_SERVICES = tuple(f"service-{number:02d}" for number in range(16))
_TELEMETRY = ("metrics", "logs", "traces")
_TOGETHER = 200
"""Records in a request of OTLP."""
_SERVER, _CLIENT, _ERROR = 2, 3, 2
"""Kinds and status of OTLP."""

Json = Mapping[str, Any]


def make_dataset(folder: Path, seconds: int) -> int:
    """Writes the dataset of a run with two faults, and returns how many rows of telemetry it has."""
    middle = seconds / 2
    faults = (
        _fault("cpu-hog", _SERVICES[0], middle),
        _fault("network-delay", _SERVICES[1], middle + seconds / 4),
    )
    manifest = write_dataset(folder, Made(seconds=seconds, services=_SERVICES, faults=faults))
    return sum(each.rows or 0 for each in manifest.files if each.name.partition(".")[0] in _TELEMETRY)


def write_otlp(dataset: Path, folder: Path) -> None:
    """The telemetry of a dataset as OpenTelemetry's collector writes it: a request a line."""
    folder.mkdir(parents=True)
    for table, write in (("metrics", _metrics), ("logs", _logs), ("traces", _spans)):
        rows = pq.read_table(dataset / f"{table}.parquet").to_pylist()
        rows.sort(key=lambda row: row["service"])
        with (folder / f"{table}.jsonl").open("w", encoding="utf-8") as file:
            for together in _of_one_service(rows):
                file.write(json.dumps(write(together)) + "\n")


def _fault(kind: str, service: str, applied: float) -> MadeFault:
    return MadeFault(
        fault_id=f"f-{kind}",
        kind=kind,
        service=service,
        applied=applied,
        recovered=applied + 60,
        seen=(applied + 1, applied + 62),
    )


def _of_one_service(rows: Sequence[Json]) -> Iterator[Sequence[Json]]:
    first = 0
    while first < len(rows):
        service, end = rows[first]["service"], first
        while end < min(len(rows), first + _TOGETHER) and rows[end]["service"] == service:
            end += 1
        yield rows[first:end]
        first = end


def _metrics(rows: Sequence[Json]) -> Json:
    points = [{"name": row["name"], "gauge": {"dataPoints": [_point(row)]}} for row in rows]
    return {"resourceMetrics": [{"resource": _resource(rows), "scopeMetrics": [{"metrics": points}]}]}


def _point(row: Json) -> Json:
    return {"timeUnixNano": _ns(row["time"]), "asDouble": row["value"]}


def _logs(rows: Sequence[Json]) -> Json:
    lines = [
        {
            "timeUnixNano": _ns(row["time"]),
            "severityNumber": row["severity"],
            "body": {"stringValue": row["body"]},
            "traceId": row["trace_id"],
            "spanId": row["span_id"],
        }
        for row in rows
    ]
    return {"resourceLogs": [{"resource": _resource(rows), "scopeLogs": [{"logRecords": lines}]}]}


def _spans(rows: Sequence[Json]) -> Json:
    spans = [
        {
            "traceId": row["trace_id"],
            "spanId": row["span_id"],
            "parentSpanId": row["parent_id"] or "",
            "name": row["endpoint"],
            "kind": _CLIENT if row["kind"] == "client" else _SERVER,
            "startTimeUnixNano": _ns(row["start"]),
            "endTimeUnixNano": _ns(row["time"]),
            "status": {"code": _ERROR} if row["error"] else {},
        }
        for row in rows
    ]
    return {"resourceSpans": [{"resource": _resource(rows), "scopeSpans": [{"spans": spans}]}]}


def _resource(rows: Sequence[Json]) -> Json:
    return {"attributes": [{"key": "service.name", "value": {"stringValue": rows[0]["service"]}}]}


def _ns(instant: Any) -> str:
    """Nanoseconds since 1970, as OTLP's JSON has them: a text."""
    return f"{round(instant.timestamp() * 1e6)}000"
