"""Files of OTLP's JSON, as OpenTelemetry's collector writes them: a request a line. They have no labels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from microservo.adapters.clock import now_us
from microservo.adapters.otlp.checks import Instants
from microservo.adapters.otlp.decoding import decode_body
from microservo.adapters.otlp.media import MAX_BODY_BYTES, Media, TooLarge
from microservo.datasets.imports.importer import ForeignFault, Notes
from microservo.domain.rows import Rows
from microservo.domain.telemetry import Signal
from microservo.errors import InvalidInput, InvalidMessage

_KEYS: dict[bytes, Signal] = {
    b'"resourceMetrics"': "metrics",
    b'"resourceLogs"': "logs",
    b'"resourceSpans"': "traces",
}
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
        with first.open("rb") as file:
            return _signal(file.read(_HEAD)) is not None

    def read(self, folder: Path, notes: Notes) -> Iterator[Rows | ForeignFault]:
        """All lines of all files."""
        files = _files(folder)
        if not files:
            msg = f"{folder} has no files *.json or *.jsonl with OTLP"
            raise InvalidInput(msg)
        notes.note("OTLP has no labels, so the run has no faults")
        for path in files:
            yield from _read(path, path.relative_to(folder).as_posix(), notes)


IMPORTER = OtlpJson()


def _files(folder: Path) -> list[Path]:
    return sorted(each for each in folder.rglob("*.json*") if each.suffix in (".json", ".jsonl"))


def _signal(head: bytes) -> Signal | None:
    found = [(head.find(key), signal) for key, signal in _KEYS.items() if key in head]
    return min(found)[1] if found else None


def _read(path: Path, name: str, notes: Notes) -> Iterator[Rows]:
    instants = Instants(now_us=now_us())
    with path.open("rb") as file:
        row = 0
        while raw := file.readline(MAX_BODY_BYTES + 1):
            row += 1
            if not raw.strip():
                continue
            place, signal = f"{name}, row {row}", _signal(raw[:_HEAD])
            if len(raw) > MAX_BODY_BYTES:
                msg = f"{place}: the line is longer than {MAX_BODY_BYTES} bytes"
                raise InvalidInput(msg)
            if signal is None:
                msg = (
                    f"{place}: no request of OTLP's JSON, with resourceMetrics, resourceLogs or resourceSpans"
                )
                raise InvalidInput(msg)
            try:
                found = decode_body(signal, Media.JSON, raw, instants, _MOST_RECORDS)
            except (InvalidMessage, TooLarge) as error:
                msg = f"{place}: {error}"
                raise InvalidInput(msg) from error
            for refused in found.refused:
                notes.note(f"a record can't be used and is left out: {refused.reason}")
            yield from found.rows
