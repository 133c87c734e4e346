"""Nezha: days of minutes, `construct_data` of normal ones and `rca_data` of those with faults.

Its lines and spans have nanoseconds UTC. Its labels have an instant twice, as text and as an epoch: of the
published set 29 of 101 contradict themselves, most of them by eight hours. The text is right there: it is the
minute from which on there are lines and spans. Some rows of metrics and lines have a wrong epoch, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

from microservo.datasets.formats.names import read_names
from microservo.datasets.imports.columns import Line, Points, Span, line_rows, parent_services, span_rows
from microservo.datasets.imports.csv_rows import CsvRows, text_instant_us
from microservo.datasets.imports.importer import Foreign, ForeignFault, Notes, Part
from microservo.datasets.imports.json_file import read_json
from microservo.domain.rows import Rows
from microservo.errors import InvalidInput

_FOLDERS = ("construct_data", "rca_data")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_POD = re.compile(r"(.+?)-(?:[0-9a-f]{6,10}-[a-z0-9]{5}|pod-\d+)")
_DIGITS = 12
"""Of no epoch in seconds for the next thirty thousand years."""
_PART = 20_000
_DAMAGED = 10
"""Rows of a minute of lines: in the published set two were written into one another."""
_NO_METRICS = ("Time", "TimeStamp", "PodName")
_LINE_COLUMNS = ("TimeUnixNano", "PodName", "Log")
_MORE_OF_LINES = ("Timestamp", "Node", "Container", "TraceID", "SpanID")
_SPAN_COLUMNS = ("TraceID", "SpanID", "ParentID", "PodName", "OperationName", "StartTimeUnixNano", "Duration")
_MORE_OF_SPANS = ("EndTimeUnixNano",)
_S = 1_000_000
_HOUR_US, _DAY_US = 3600 * _S, 86_400 * _S
_Names = dict[str, dict[str, str]]


@dataclass(frozen=True, slots=True)
class _Day:
    """A day of one of the two folders; what pods and faults were called before; and where odd things go."""

    folder: Path
    names: _Names
    notes: Notes

    @property
    def place(self) -> str:
        return f"{self.folder.parent.name}/{self.folder.name}"

    @property
    def begin_us(self) -> int:
        return text_instant_us(f"{self.folder.name} 00:00:00") or 0

    def has_minute(self, time_us: int) -> bool:
        """Whether there are lines or spans of the minute of an instant."""
        name = datetime.fromtimestamp(time_us // _S, UTC).strftime("%H_%M")
        is_of_day = 0 <= time_us - self.begin_us < _DAY_US
        return is_of_day and any(
            (self.folder / what / f"{name}_{what}.csv").is_file() for what in ("log", "trace")
        )

    def owner(self, pod: str) -> tuple[str, str]:
        """The service and the instance of a pod."""
        known = self.names.get("instance", {}).get(pod)
        if known is not None:
            service, _, instance = known.partition("/")
            return service, instance
        found = _POD.fullmatch(pod)
        return (found[1], pod) if found else (pod, pod)

    def instant_us(self, rows: CsvRows, epoch_us: float, text: str, what: str) -> int | None:
        """When a row was: by its epoch, by its text where that is of another day; None if both are."""
        for found in (epoch_us, text_instant_us(text)):
            if found is not None and self.begin_us - _DAY_US <= found < self.begin_us + 2 * _DAY_US:
                if found != epoch_us:
                    self.notes.note(
                        f"a row of {what} has an epoch of another year; its time as text is taken"
                    )
                return rows.at(int(found), "the time", text)
        self.notes.note(f"a row of {what} has a time of another day; it is left out")
        return None


class Nezha:
    """Nezha."""

    name: ClassVar[str] = "nezha"

    def recognises(self, folder: Path) -> bool:
        """Whether it has a folder of either kind of minutes."""
        return any((folder / each).is_dir() for each in _FOLDERS)

    def parts(self, folder: Path) -> Sequence[Part]:
        """Its days, each with its normal and its faulty minutes: other days may be of another system."""
        days = sorted(
            (day.name, day.parent.name, day.resolve())
            for each in _FOLDERS
            for day in folder.glob(f"{each}/*")
            if day.is_dir() and _DAY.fullmatch(day.name)
        )
        if not days:
            msg = f"{folder} has no days; expected {' or '.join(_FOLDERS)} with folders such as 2022-08-22"
            raise InvalidInput(msg)
        return [
            Part(name=name, folders=tuple(path for _, _, path in of_day))
            for name, of_day in groupby(days, lambda each: each[0])
        ]

    def read(self, part: Part, notes: Notes) -> Iterator[Foreign]:
        """A day of both folders."""
        for folder in part.folders:
            path = folder.parent.parent / "names.csv"
            day = _Day(folder, read_names(path) if path.is_file() else {}, notes)
            yield from _faults(day)
            yield from _metrics(day)
            yield from _lines(day)
            yield from _spans(day)
            _note_missing(day)


IMPORTER = Nezha()


def _faults(day: _Day) -> Iterator[ForeignFault]:
    path = day.folder / f"{day.folder.name}-fault_list.json"
    said_in = f"{day.place}/{path.name}"
    if not path.is_file():
        if day.folder.parent.name == "rca_data":
            day.notes.note(f"{said_in} is not there, so the day has no labels")
        return
    hours = read_json(path, said_in)
    of_hours = list(hours.values()) if isinstance(hours, dict) else [hours]
    if not all(isinstance(each, list) for each in of_hours):
        msg = f"{said_in}, row 1: expected an object with a list of labels for each hour"
        raise InvalidInput(msg)
    labels = [label for each in of_hours for label in each]
    for number, label in enumerate(labels, start=1):
        yield _fault(label, f"{said_in}, label {number}", day)


def _fault(label: Any, said_in: str, day: _Day) -> ForeignFault:
    said = label if isinstance(label, dict) else {}
    text, kind, pod = (str(said.get(each, "")) for each in ("inject_time", "inject_type", "inject_pod"))
    epoch = str(said.get("inject_timestamp", ""))
    if not (epoch.isascii() and epoch.isdigit() and len(epoch) < _DIGITS) or not kind or not pod:
        msg = f"{said_in}: expected inject_time, inject_timestamp (s), inject_pod and inject_type"
        raise InvalidInput(msg)
    start_us, within_us = _start_us(int(epoch) * _S, text, said_in, day)
    service, instance = day.owner(pod)
    return ForeignFault(
        kind=day.names.get("fault", {}).get(kind, kind.replace("_", "-")),
        service=service,
        instance=instance,
        start_us=start_us,
        within_us=within_us,
        said_in=said_in,
    )


def _start_us(epoch_us: int, text: str, said_in: str, day: _Day) -> tuple[int, int]:
    """When a fault began, and how exactly that is known."""
    text_us = text_instant_us(text)
    if text_us is None or text_us == epoch_us:
        return epoch_us, _S
    away_us = text_us - epoch_us
    said = f"{said_in}: {text} lies {away_us / 1e6:+g} s from its epoch {epoch_us // _S}"
    if day.has_minute(text_us) and not day.has_minute(epoch_us):
        # Whole hours are another time zone.
        within_us = max(_S, abs(away_us - round(away_us / _HOUR_US) * _HOUR_US))
        day.notes.note(
            f"{said}; there are lines or spans of the minute of its text alone, so that is taken,"
            f" and known to {within_us // _S} s"
        )
        return text_us, within_us
    # Its maintainer (pull request 7) says that the epoch is right.
    day.notes.note(
        f"{said}; the epoch is taken, as Nezha's maintainer does, and known to {abs(away_us) // _S} s"
    )
    return epoch_us, abs(away_us)


def _metrics(day: _Day) -> Iterator[Rows]:
    for path in sorted(day.folder.glob("metric/*_metric.csv")):
        rows = CsvRows(path, f"{day.place}/metric/{path.name}", ("TimeStamp", "PodName"), day.notes)
        found: dict[str, Points] = {}
        unseen = {each for each in rows.columns if each not in _NO_METRICS}
        is_empty = True
        for row in rows:
            epoch_us = rows.number("TimeStamp", row["TimeStamp"]) * _S
            time_us = day.instant_us(rows, epoch_us, row.get("Time", ""), "metrics")
            if time_us is None:
                continue
            is_empty, pod = False, row["PodName"]
            own = found.setdefault(pod, Points(*day.owner(pod)))
            for column, text in row.items():
                if column not in _NO_METRICS and text:
                    unseen.discard(column)
                    own.add(time_us, column, rows.number(column, text))
            if own.is_full:
                yield found.pop(pod).rows()
        if unseen and not is_empty:
            day.notes.note(f"column {', '.join(sorted(unseen))} of metrics has no value in a whole file")
        yield from (each.rows() for each in found.values() if each.times)


def _nanoseconds(rows: CsvRows, column: str, text: str) -> int:
    """An epoch in microseconds, whatever day it is of."""
    try:
        return int(text) // 1000
    except ValueError:
        rows.refuse(f"{column} is {text[:40]!r}, which is no number of nanoseconds")


def _lines(day: _Day) -> Iterator[Rows]:
    for path in sorted(day.folder.glob("log/*_log.csv")):
        name = f"{day.place}/log/{path.name}"
        rows = CsvRows(path, name, _LINE_COLUMNS, day.notes, _MORE_OF_LINES, damaged=_DAMAGED)
        found: dict[str, list[Line]] = {}
        for row in rows:
            epoch_us = _nanoseconds(rows, "TimeUnixNano", row["TimeUnixNano"])
            time_us = day.instant_us(rows, epoch_us, row.get("Timestamp", ""), "lines")
            if time_us is None:
                continue
            pod = row["PodName"]
            own = found.setdefault(pod, [])
            own.append(
                Line(
                    time_us,
                    _body(row["Log"]),
                    trace_id=row.get("TraceID", ""),
                    span_id=row.get("SpanID", ""),
                    place=rows.row,
                )
            )
            if len(own) >= _PART:
                yield line_rows(*day.owner(pod), found.pop(pod))
        yield from (line_rows(*day.owner(pod), own) for pod, own in found.items())


def _body(text: str) -> str:
    """What a line says: the column is JSON of log, stream and time, or the line itself."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    said = found.get("log") if isinstance(found, dict) else None
    return said.removesuffix("\n") if isinstance(said, str) else text


def _spans(day: _Day) -> Iterator[Rows]:
    for path in sorted(day.folder.glob("trace/*_trace.csv")):
        yield from _spans_of(path, f"{day.place}/trace/{path.name}", day)


def _spans_of(path: Path, name: str, day: _Day) -> Iterator[Rows]:
    once = CsvRows(path, name, _SPAN_COLUMNS, Notes(), _MORE_OF_SPANS)
    known = parent_services((row["SpanID"], day.owner(row["PodName"])[0]) for row in once)
    rows, spans, seen = (
        CsvRows(path, name, _SPAN_COLUMNS, day.notes, _MORE_OF_SPANS),
        list[Span](),
        set[str](),
    )
    for row in rows:
        if row["SpanID"] in seen:
            day.notes.note("a minute of spans has the id of one again, so that row is left out")
            continue
        seen.add(row["SpanID"])
        epoch_us = _nanoseconds(rows, "StartTimeUnixNano", row["StartTimeUnixNano"])
        start_us = day.instant_us(rows, epoch_us, "", "spans")
        if start_us is None:
            continue
        service, instance = day.owner(row["PodName"])
        parent = row["ParentID"]
        duration_us = rows.number("Duration", row["Duration"])
        if not 0 <= duration_us < 3600 * _S:
            rows.refuse(f"Duration is {row['Duration'][:40]!r} us; expected 0 up to an hour")
        spans.append(
            Span(
                service=service,
                instance=instance,
                start_us=start_us,
                duration_us=round(duration_us),
                operation=row["OperationName"],
                trace_id=row["TraceID"],
                span_id=row["SpanID"],
                parent_id="" if parent == "root" else parent,
            )
        )
        if len(spans) >= _PART:
            yield from span_rows(spans, known)
            spans.clear()
    yield from span_rows(spans, known)


def _note_missing(day: _Day) -> None:
    """Says of which minutes there are lines without spans, or the other way round."""
    lines, spans = (
        {each.name[: len("HH_MM")] for each in day.folder.glob(f"{what}/*_{what}.csv")}
        for what in ("log", "trace")
    )
    if missing := sorted(lines ^ spans):
        day.notes.note(
            f"{day.place}: {len(missing)} minutes lack their lines or their spans, the first {missing[0]}"
        )
