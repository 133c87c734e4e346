"""Files of OTLP's JSON, as OpenTelemetry's collector writes them. They have no labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from microservo.adapters.otlp.checks import Instants
from microservo.adapters.otlp.decoding import decode_body
from microservo.adapters.otlp.media import Media, TooLarge
from microservo.datasets.imports.csv_rows import LATEST_US
from microservo.datasets.imports.importer import Foreign, Notes, Part
from microservo.datasets.imports.otlp_documents import documents
from microservo.domain.row_slices import event_us
from microservo.domain.rows import Rows
from microservo.domain.telemetry import Signal
from microservo.errors import InvalidInput, InvalidMessage

_KEYS: dict[bytes, Signal] = {
    b'"resourceMetrics"': "metrics",
    b'"resourceLogs"': "logs",
    b'"resourceSpans"': "traces",
    # As protobuf's own writers of JSON spell them.
    b'"resource_metrics"': "metrics",
    b'"resource_logs"': "logs",
    b'"resource_spans"': "traces",
}
_SUFFIXES = (".json", ".jsonl", ".ndjson")
_PACKED = (".gz", ".zst", ".zstd")
_HEAD = 4096
_MOST_RECORDS = 1_000_000


class OtlpJson:
    """OTLP in JSON."""

    name: ClassVar[str] = "otlp-json"

    def recognises(self, folder: Path) -> bool:
        """Whether the first of its files begins as such a request."""
        first = next(iter(_files(folder)), None)
        if first is None:
            return False
        try:
            _, text = next(documents(first, first.name), (0, b""))
        except InvalidInput:
            return False
        return _signal(text[:_HEAD]) is not None

    def parts(self, folder: Path) -> Sequence[Part]:
        """All files: they are of one stream."""
        if not _files(folder):
            msg = f"{folder} has no files *.json or *.jsonl with OTLP, nor such in gzip or zstd"
            raise InvalidInput(msg)
        return [Part(name="", folders=(folder,))]

    def read(self, part: Part, notes: Notes) -> Iterator[Foreign]:
        """All documents of all files."""
        (folder,) = part.folders
        notes.note("OTLP has no labels, so the run has no faults")
        for path in _files(folder):
            name = path.relative_to(folder).as_posix()
            for row, text in documents(path, name):
                yield from _read(text, name, row, notes)


IMPORTER = OtlpJson()


def _files(folder: Path) -> list[Path]:
    return sorted(each for each in folder.rglob("*") if _is_one(each) and each.is_file())


def _is_one(path: Path) -> bool:
    name = path.with_suffix("") if path.suffix in _PACKED else path
    return name.suffix in _SUFFIXES or path.suffix in (".zst", ".zstd")


def _signal(head: bytes) -> Signal | None:
    found = [(head.find(key), signal) for key, signal in _KEYS.items() if key in head]
    return min(found)[1] if found else None


def _read(text: bytes, name: str, row: int, notes: Notes) -> Iterator[Rows]:
    place, signal = f"{name}, row {row}", _signal(text[:_HEAD])
    if signal is None:
        msg = f"{place}: no request of OTLP's JSON, with resourceMetrics, resourceLogs or resourceSpans"
        raise InvalidInput(msg)
    try:
        # A line of a log without any time gets that of its receipt; here nobody knows when that was.
        found = decode_body(signal, Media.JSON, text, Instants(now_us=LATEST_US), _MOST_RECORDS)
    except (InvalidMessage, TooLarge) as error:
        msg = f"{place}: {error}"
        raise InvalidInput(msg) from error
    for refused in found.refused:
        notes.note(f"a record can't be used and is left out: {refused.reason}")
    for rows in found.rows:
        times_us = event_us(rows)
        has_time = times_us < LATEST_US
        if not has_time.all():
            notes.note("a line has no time, and is left out", int((~has_time).sum()))
        if has_time.any():
            notes.extent.add(int(times_us[has_time].min()), name, row)
            notes.extent.add(int(times_us[has_time].max()), name, row)
            yield rows.at(np.flatnonzero(has_time))
