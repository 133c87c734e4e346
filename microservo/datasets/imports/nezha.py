"""Nezha: days of minutes, `construct_data` of normal ones and `rca_data` of those with faults.

Its lines and spans have nanoseconds UTC. Its labels have an instant twice, as text and as an epoch: of the
published set 29 of 101 contradict themselves. Some rows of metrics have a wrong epoch, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from microservo.datasets.formats.names import read_names
from microservo.datasets.imports.columns import Line, Points, Span, line_rows, span_rows
from microservo.datasets.imports.csv_rows import CsvRows, text_instant_us
from microservo.datasets.imports.importer import ForeignFault, Notes
from microservo.domain.rows import Rows
from microservo.errors import InvalidInput

_FOLDERS = ("construct_data", "rca_data")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_POD = re.compile(r"(.+?)-(?:[0-9a-f]{6,10}-[a-z0-9]{5}|pod-\d+)")
_S = 1_000_000
_DAY_US = 86_400 * _S
_Names = dict[str, dict[str, str]]


class Nezha:
    """Nezha."""

    name: ClassVar[str] = "nezha"

    def recognises(self, folder: Path) -> bool:
        """Whether it has a folder of either kind of minutes."""
        return any((folder / each).is_dir() for each in _FOLDERS)

    def read(self, folder: Path, notes: Notes) -> Iterator[Rows | ForeignFault]:
        """All days of both folders."""
        path = folder / "names.csv"
        names = read_names(path) if path.is_file() else {}
        days = [
            day
            for each in _FOLDERS
            for day in sorted(folder.glob(f"{each}/*"))
            if day.is_dir() and _DAY.fullmatch(day.name)
        ]
        if not days:
            msg = f"{folder} has no days; expected {' or '.join(_FOLDERS)} with folders such as 2022-08-22"
            raise InvalidInput(msg)
        for day in days:
            place = f"{day.parent.name}/{day.name}"
            yield from _faults(day, place, names, notes)
            yield from _metrics(day, place, names, notes)
            yield from _lines(day, place, names)
            yield from _spans(day, place, names, notes)
            _note_missing(day, place, notes)


IMPORTER = Nezha()


def _owner(names: _Names, pod: str) -> tuple[str, str]:
    """The service and the instance of a pod."""
    known = names.get("instance", {}).get(pod)
    if known is not None:
        service, _, instance = known.partition("/")
        return service, instance
    found = _POD.fullmatch(pod)
    return (found[1], pod) if found else (pod, pod)


def _faults(day: Path, place: str, names: _Names, notes: Notes) -> Iterator[ForeignFault]:
    path = day / f"{day.name}-fault_list.json"
    said_in = f"{place}/{path.name}"
    if not path.is_file():
        if day.parent.name == "rca_data":
            notes.note(f"{said_in} is not there, so the day has no labels")
        return
    try:
        labels = [each for hour in json.loads(path.read_bytes()).values() for each in hour]
        if not all(isinstance(each, dict) for each in labels):
            msg = "a label is no object"
            raise ValueError(msg)
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        msg = f"{said_in} can't be read: {str(error)[:200]}"
        raise InvalidInput(msg) from error
    for number, label in enumerate(labels, start=1):
        yield _fault(label, f"{said_in}, label {number}", names, notes)


def _fault(label: dict[str, Any], said_in: str, names: _Names, notes: Notes) -> ForeignFault:
    text, kind, pod = (str(label.get(each, "")) for each in ("inject_time", "inject_type", "inject_pod"))
    epoch = str(label.get("inject_timestamp", ""))
    if not epoch.isdigit() or not kind or not pod:
        msg = f"{said_in}: expected inject_time, inject_timestamp (s), inject_pod and inject_type"
        raise InvalidInput(msg)
    start_us, told_us = int(epoch) * _S, text_instant_us(text)
    within_us = _S
    if told_us is not None and told_us != start_us:
        # Its maintainer (pull request 7) says that the epoch is right.
        away_s = (told_us - start_us) / 1e6
        within_us = abs(told_us - start_us)
        notes.note(
            f"{said_in}: {text} lies {away_s:+g} s from its epoch {epoch}; the epoch is taken, as"
            " Nezha's maintainer does, and known to so many seconds"
        )
    service, instance = _owner(names, pod)
    return ForeignFault(
        kind=names.get("fault", {}).get(kind, kind.replace("_", "-")),
        service=service,
        instance=instance,
        start_us=start_us,
        within_us=within_us,
        said_in=said_in,
    )


def _metrics(day: Path, place: str, names: _Names, notes: Notes) -> Iterator[Rows]:
    day_us = text_instant_us(f"{day.name} 00:00:00") or 0
    for path in sorted(day.glob("metric/*_metric.csv")):
        name = f"{place}/metric/{path.name}"
        rows = CsvRows(path, name, ("TimeStamp", "PodName"))
        found: dict[str, Points] = {}
        unseen = {each for each in rows.columns if each not in ("Time", "TimeStamp", "PodName")}
        for row in rows:
            time_us = _minute_us(rows, row, day_us, notes)
            if time_us is None:
                continue
            pod = row["PodName"]
            own = found.setdefault(pod, Points(*_owner(names, pod)))
            for column, text in row.items():
                if column not in ("Time", "TimeStamp", "PodName") and text:
                    unseen.discard(column)
                    own.add(time_us, column, rows.number(column, text))
        if unseen and found:
            notes.note(f"column {', '.join(sorted(unseen))} of metrics has no value in a whole file")
        yield from (each.rows() for each in found.values() if each.times)


def _minute_us(rows: CsvRows, row: dict[str, str], day_us: int, notes: Notes) -> int | None:
    """When a row was, by its epoch; by its text where that is of another day; None if both are."""
    epoch = rows.number("TimeStamp", row["TimeStamp"])
    for found in (epoch * _S, text_instant_us(row.get("Time", ""))):
        if found is not None and day_us - _DAY_US <= found < day_us + 2 * _DAY_US:
            if found != epoch * _S:
                notes.note("a row of metrics has an epoch of another year; its time as text is taken")
            return int(found)
    notes.note("a row of metrics has a time of another day; it is left out")
    return None


def _lines(day: Path, place: str, names: _Names) -> Iterator[Rows]:
    for path in sorted(day.glob("log/*_log.csv")):
        rows = CsvRows(path, f"{place}/log/{path.name}", ("TimeUnixNano", "PodName", "Log"))
        found: dict[str, list[Line]] = {}
        for row in rows:
            time_us = rows.instant_us("TimeUnixNano", row["TimeUnixNano"], "ns")
            line = Line(
                time_us, _body(row["Log"]), trace_id=row.get("TraceID", ""), span_id=row.get("SpanID", "")
            )
            found.setdefault(row["PodName"], []).append(line)
        yield from (line_rows(*_owner(names, pod), own) for pod, own in found.items())


def _body(text: str) -> str:
    """What a line says: the column is JSON of log, stream and time, or the line itself."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    said = found.get("log") if isinstance(found, dict) else None
    return said.removesuffix("\n") if isinstance(said, str) else text


def _spans(day: Path, place: str, names: _Names, notes: Notes) -> Iterator[Rows]:
    needed = ("TraceID", "SpanID", "ParentID", "PodName", "OperationName", "StartTimeUnixNano", "Duration")
    for path in sorted(day.glob("trace/*_trace.csv")):
        rows = CsvRows(path, f"{place}/trace/{path.name}", needed)
        spans: list[Span] = []
        known: dict[str, str] = {}
        for row in rows:
            service, instance = _owner(names, row["PodName"])
            if row["SpanID"] in known:
                notes.note("a minute of spans has the id of one again, so that row is left out")
                continue
            known[row["SpanID"]] = service
            parent = row["ParentID"]
            duration_us = rows.number("Duration", row["Duration"])
            if not 0 <= duration_us < 3600 * _S:
                rows.refuse(f"Duration is {row['Duration'][:40]!r} us; expected 0 up to an hour")
            spans.append(
                Span(
                    service=service,
                    instance=instance,
                    start_us=rows.instant_us("StartTimeUnixNano", row["StartTimeUnixNano"], "ns"),
                    duration_us=round(duration_us),
                    operation=row["OperationName"],
                    trace_id=row["TraceID"],
                    span_id=row["SpanID"],
                    parent_id="" if parent == "root" else parent,
                )
            )
        yield from span_rows(spans, known)


def _note_missing(day: Path, place: str, notes: Notes) -> None:
    """Says of which minutes there are lines without spans, or the other way round."""
    lines, spans = (
        {each.name[: len("HH_MM")] for each in day.glob(f"{what}/*_{what}.csv")} for what in ("log", "trace")
    )
    if missing := sorted(lines ^ spans):
        notes.note(f"{place}: {len(missing)} minutes lack their lines or their spans, the first {missing[0]}")
