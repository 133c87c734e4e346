"""A case of RCAEval: a folder whose name says what was broken, with the second in which it was.

Times are epoch seconds (metrics, injection), nanoseconds (lines) and microseconds (spans), all in UTC. The
set does not say when a fault ended, nor which instance it was in.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from microservo.datasets.formats.names import read_names
from microservo.datasets.imports.columns import Line, Points, Span, line_rows, span_rows
from microservo.datasets.imports.csv_rows import CsvRows
from microservo.datasets.imports.importer import ForeignFault, Notes
from microservo.domain.rows import Rows
from microservo.errors import InvalidInput

_WIDE = ("simple_metrics.csv", "metrics.csv", "data.csv", "simple_data.csv")
_S = 1_000_000
_SEVERITIES = {"trace": 1, "debug": 5, "info": 9, "warn": 13, "warning": 13, "error": 17, "fatal": 21}
_PART = 20_000
_Names = dict[str, dict[str, str]]


class RcaEval:
    """RCAEval, RE1 to RE3."""

    name: ClassVar[str] = "rcaeval"

    def recognises(self, folder: Path) -> bool:
        """Whether it is a case, or holds some."""
        return next(folder.rglob("inject_time.txt"), None) is not None

    def read(self, folder: Path, notes: Notes) -> Iterator[Rows | ForeignFault]:
        """The metrics, lines and spans of a case, and its fault."""
        case = _case(folder)
        names = _names(case)
        yield _fault(case, names)
        yield from _metrics(case, names, notes)
        yield from _lines(case, names, notes)
        yield from _spans(case, names, notes)


IMPORTER = RcaEval()


def _case(folder: Path) -> Path:
    cases = sorted(each.parent for each in folder.rglob("inject_time.txt"))
    if len(cases) != 1:
        first = f", the first of them {cases[0]}" if cases else ""
        msg = f"{folder} holds {len(cases)} cases of RCAEval{first}; name the folder of one: each is a run"
        raise InvalidInput(msg)
    return cases[0]


def _names(case: Path) -> _Names:
    """The names behind those written, where the exporter has left them beside the cases."""
    path = case.parent.parent / "names.csv"
    return read_names(path) if path.is_file() else {}


def _back(names: _Names, what: str, written: str) -> str:
    return names.get(what, {}).get(written, written)


def _fault(case: Path, names: _Names) -> ForeignFault:
    path = case / "inject_time.txt"
    text = path.read_bytes()[:100].split(b"\n", 1)[0].decode("utf-8", "replace").strip()
    # Newer sets name the folder <set>_<service>_<fault>_<n>, older ones <service>_<fault>/<n>.
    parts = case.name.split("_") if "_" in case.name else case.parent.name.split("_")
    if parts[-1].isdigit():
        parts = parts[:-1]
    if len(parts) < 2 or not text.isdigit():
        msg = (
            f"{path}, row 1: {text[:40]!r} in folder {case}; expected epoch seconds in <service>_<fault>/<n>"
        )
        raise InvalidInput(msg)
    return ForeignFault(
        kind=_back(names, "fault", parts[-1]),
        service=_back(names, "service", parts[-2]),
        start_us=int(text) * _S,
        within_us=_S,
        said_in=f"{case.parent.name}/{case.name}/{path.name}",
    )


def _metrics(case: Path, names: _Names, notes: Notes) -> Iterator[Rows]:
    if (case / "metrics.parquet").is_file():
        points = _parquet_points(case / "metrics.parquet")
    elif (case / "metrics.json").is_file():
        points = _json_points(case / "metrics.json")
    else:
        found = next((case / each for each in _WIDE if (case / each).is_file()), None)
        if found is None:
            msg = f"{case} has no metrics: expected metrics.parquet, metrics.json or {', '.join(_WIDE)}"
            raise InvalidInput(msg)
        points = _csv_points(found)
    services: dict[str, Points] = {}
    for column, time_us, value in points:
        service, parted, metric = column.partition("_")
        if not parted or not metric:
            notes.note(f"column {column[:80]!r} is not <service>_<metric>, so its value is left out")
            continue
        owner = _back(names, "service", service)
        own = services.setdefault(owner, Points(owner))
        own.add(time_us, _back(names, "metric", metric), value)
        if own.is_full:
            yield services.pop(owner).rows()
    yield from (each.rows() for each in services.values() if each.times)


def _parquet_points(path: Path) -> Iterator[tuple[str, int, float]]:
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        msg = f"{path} can't be read: {str(error).splitlines()[0][:200]}"
        raise InvalidInput(msg) from error
    if "time" not in table.column_names:
        msg = f"{path}: there is no column time"
        raise InvalidInput(msg)
    times = table.column("time").to_pylist()
    for column in table.column_names:
        if column != "time":
            for time_s, value in zip(times, table.column(column).to_pylist(), strict=True):
                if value is not None:
                    yield column, int(time_s) * _S, float(value)


def _json_points(path: Path) -> Iterator[tuple[str, int, float]]:
    try:
        document = json.loads(path.read_bytes())
        for column, pairs in document.items():
            for time_s, value in pairs:
                yield str(column), int(time_s) * _S, float(value)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        msg = f"{path} is no {{name: [[time, value], ...]}}: {str(error)[:200]}"
        raise InvalidInput(msg) from error


def _csv_points(path: Path) -> Iterator[tuple[str, int, float]]:
    rows = CsvRows(path, path.name, ("time",))
    for row in rows:
        time_us = rows.instant_us("time", row["time"], "s")
        for column, text in row.items():
            # Some sets have the time twice.
            if not column.startswith("time"):
                yield column, time_us, rows.number(column, text)


def _lines(case: Path, names: _Names, notes: Notes) -> Iterator[Rows]:
    path = case / "logs.csv"
    if not path.is_file():
        notes.note("the case has no logs.csv, so the run has no lines")
        return
    rows = CsvRows(path, path.name, ("timestamp", "container_name", "message"))
    found: dict[str, list[Line]] = {}
    for row in rows:
        service = _back(names, "service", row["container_name"])
        own = found.setdefault(service, [])
        own.append(
            Line(
                rows.instant_us("timestamp", row["timestamp"], "ns"),
                row["message"],
                row.get("log_template") or row.get("cluster_id", ""),
                _SEVERITIES.get(row.get("level", "").lower(), _SEVERITIES["info"]),
            )
        )
        if len(own) >= _PART:
            yield line_rows(service, "", found.pop(service))
    for service, own in found.items():
        yield line_rows(service, "", own)


def _spans(case: Path, names: _Names, notes: Notes) -> Iterable[Rows]:
    path = case / "traces.csv"
    if not path.is_file():
        notes.note("the case has no traces.csv, so the run has no spans")
        return []
    needed = ("traceID", "spanID", "serviceName", "startTime", "duration")
    rows, spans = CsvRows(path, path.name, needed), []
    known: dict[str, str] = {}
    for row in rows:
        service = _back(names, "service", row["serviceName"])
        if row["spanID"] in known:
            notes.note("traces.csv has the id of a span again, so that row is left out")
            continue
        known[row["spanID"]] = service
        operation = row.get("operationName") or row.get("methodName", "")
        spans.append(
            Span(
                service=service,
                instance="",
                start_us=rows.instant_us("startTime", row["startTime"], "us"),
                duration_us=_duration_us(rows, row["duration"]),
                operation=_back(names, "operation", operation),
                trace_id=row["traceID"],
                span_id=row["spanID"],
                parent_id=row.get("parentSpanID", ""),
                failed=_has_failed(rows.number("statusCode", row.get("statusCode", ""))),
            )
        )
    return span_rows(spans, known)


def _duration_us(rows: CsvRows, text: str) -> int:
    value = rows.number("duration", text)
    if not 0 <= value < 3600 * _S:
        rows.refuse(f"duration is {text[:40]!r} us; expected 0 up to an hour")
    return round(value)


def _has_failed(status: float) -> bool:
    """Of OpenTelemetry (2), gRPC (3 to 16) or HTTP: 0 and 1 are no failures of the first."""
    return 2 <= status < 100 or status >= 400
