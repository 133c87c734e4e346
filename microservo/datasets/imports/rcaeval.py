"""A case of RCAEval: a folder whose name says what was broken, with the second in which it was.

Times are epoch seconds (metrics, injection), nanoseconds (lines) and microseconds (spans), all in UTC. The
set does not say when a fault ended, nor which instance it was in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from microservo.datasets.formats.names import read_names
from microservo.datasets.imports.columns import Line, Points, Span, line_rows, parent_services, span_rows
from microservo.datasets.imports.csv_rows import EARLIEST_US, LATEST_US, CsvRows
from microservo.datasets.imports.importer import Foreign, ForeignFault, Notes, Part
from microservo.datasets.imports.parquet_rows import ParquetRows
from microservo.datasets.imports.rcaeval_metrics import points_of
from microservo.domain.rows import Rows
from microservo.errors import InvalidInput

_LABEL = "inject_time.txt"
_S = 1_000_000
_SEVERITIES = {"trace": 1, "debug": 5, "info": 9, "warn": 13, "warning": 13, "error": 17, "fatal": 21}
_PART = 20_000
_LINE_COLUMNS = ("timestamp", "container_name", "message")
_MORE_OF_LINES = ("time", "level", "error", "req_path", "cluster_id", "log_template")
_SPAN_COLUMNS = ("traceID", "spanID", "serviceName", "startTime", "duration")
_MORE_OF_SPANS = ("time", "parentSpanID", "methodName", "operationName", "statusCode", "startTimeMillis")
_Names = dict[str, dict[str, str]]


class RcaEval:
    """RCAEval, RE1 to RE3."""

    name: ClassVar[str] = "rcaeval"

    def recognises(self, folder: Path) -> bool:
        """Whether it is a case, or holds some."""
        return next(folder.rglob(_LABEL), None) is not None

    def parts(self, folder: Path) -> Sequence[Part]:
        """The cases in it: each is a recording of its own, and they overlap in time."""
        cases = sorted(each.parent.resolve() for each in folder.rglob(_LABEL))
        if not cases:
            msg = f"{folder} holds no case of RCAEval; expected <service>_<fault>/<n>/{_LABEL}"
            raise InvalidInput(msg)
        return [Part(name=f"{each.parent.name}/{each.name}", folders=(each,)) for each in cases]

    def read(self, part: Part, notes: Notes) -> Iterator[Foreign]:
        """The metrics, lines and spans of a case, and its fault."""
        (case,) = part.folders
        names = _names(case)
        yield _fault(part.name, case, names)
        yield from _metrics(part.name, case, names, notes)
        yield from _lines(part.name, case, names, notes)
        yield from _spans(part.name, case, names, notes)


IMPORTER = RcaEval()


def _names(case: Path) -> _Names:
    """The names behind those written, where the exporter has left them beside the cases."""
    path = case.parent.parent / "names.csv"
    return read_names(path) if path.is_file() else {}


def _back(names: _Names, what: str, written: str) -> str:
    return names.get(what, {}).get(written, written)


def _fault(name: str, case: Path, names: _Names) -> ForeignFault:
    place = f"{name}/{_LABEL}"
    try:
        with (case / _LABEL).open("rb") as file:
            text = file.readline(100).decode("utf-8-sig", "replace").strip()
    except OSError as error:
        msg = f"{place}, row 1: it can't be read: {error.strerror}"
        raise InvalidInput(msg) from error
    # Newer sets name the folder <set>_<service>_<fault>_<n>, older ones <service>_<fault>/<n>.
    parts = case.name.split("_") if "_" in case.name else case.parent.name.split("_")
    if parts[-1].isdigit():
        parts = parts[:-1]
    start_us = int(text) * _S if text.isascii() and text.isdigit() else 0
    if len(parts) < 2 or not EARLIEST_US <= start_us < LATEST_US:
        msg = (
            f"{place}, row 1: {text[:40]!r} in folder {case}; expected epoch seconds in <service>_<fault>/<n>"
        )
        raise InvalidInput(msg)
    return ForeignFault(
        kind=_back(names, "fault", parts[-1]),
        service=_back(names, "service", parts[-2]),
        start_us=start_us,
        within_us=_S,
        said_in=place,
    )


def _table(case: Path, what: str) -> Path | None:
    """The file of lines or spans, as RCAEval's own reader chooses it: there is a set of Parquet, too."""
    return next((path for end in ("parquet", "csv") if (path := case / f"{what}.{end}").is_file()), None)


def _rows(path: Path, name: str, needed: Sequence[str], notes: Notes, known: Sequence[str]) -> CsvRows:
    return (ParquetRows if path.suffix == ".parquet" else CsvRows)(path, name, needed, notes, known)


def _metrics(name: str, case: Path, names: _Names, notes: Notes) -> Iterator[Rows]:
    services: dict[str, Points] = {}
    for column, time_us, value in points_of(case, name, notes):
        service, _, metric = column.partition("_")
        if not service or not metric:
            notes.note(f"column {column[:80]!r} is not <service>_<metric>, so its value is left out")
            continue
        owner = _back(names, "service", service)
        own = services.setdefault(owner, Points(owner))
        own.add(time_us, _back(names, "metric", metric), value)
        if own.is_full:
            yield services.pop(owner).rows()
    yield from (each.rows() for each in services.values() if each.times)


def _lines(name: str, case: Path, names: _Names, notes: Notes) -> Iterator[Rows]:
    path = _table(case, "logs")
    if path is None:
        notes.note("the case has no logs.parquet nor logs.csv, so the run has no lines")
        return
    rows = _rows(path, f"{name}/{path.name}", _LINE_COLUMNS, notes, _MORE_OF_LINES)
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
                place=rows.row,
            )
        )
        if len(own) >= _PART:
            yield line_rows(service, "", found.pop(service))
    for service, own in found.items():
        yield line_rows(service, "", own)


def _spans(name: str, case: Path, names: _Names, notes: Notes) -> Iterator[Rows]:
    path = _table(case, "traces")
    if path is None:
        notes.note("the case has no traces.parquet nor traces.csv, so the run has no spans")
        return
    place = f"{name}/{path.name}"

    def service_of(row: dict[str, str]) -> str:
        return _back(names, "service", row["serviceName"])

    known = parent_services(
        (row["spanID"], service_of(row)) for row in _rows(path, place, _SPAN_COLUMNS, Notes(), _MORE_OF_SPANS)
    )
    rows, spans, seen = _rows(path, place, _SPAN_COLUMNS, notes, _MORE_OF_SPANS), list[Span](), set[str]()
    for row in rows:
        if row["spanID"] in seen:
            notes.note(f"{place} has the id of a span again, so that row is left out")
            continue
        seen.add(row["spanID"])
        operation = row.get("operationName") or row.get("methodName", "")
        spans.append(
            Span(
                service=service_of(row),
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
        if len(spans) >= _PART:
            yield from span_rows(spans, known)
            spans.clear()
    yield from span_rows(spans, known)


def _duration_us(rows: CsvRows, text: str) -> int:
    value = rows.number("duration", text)
    if not 0 <= value < 3600 * _S:
        rows.refuse(f"duration is {text[:40]!r} us; expected 0 up to an hour")
    return round(value)


def _has_failed(status: float) -> bool:
    """Of OpenTelemetry (2), gRPC (3 to 16) or HTTP: 0 and 1 are no failures of the first."""
    return 2 <= status < 100 or status >= 400
