"""Reads the minutes of a recording."""

from __future__ import annotations

from collections.abc import Iterator

from microservo.adapters.rows_file import read_rows
from microservo.domain.completeness import MINUTE_US
from microservo.domain.rows import LogRows, Rows, SpanRows
from microservo.domain.telemetry import Signal
from microservo.sources.recorded.settings import RecordedSettings
from microservo.sources.tailed import Page, Place


class RecordedStore:
    """A store of whole minutes; see `microservo.sources.stored.Store`."""

    def __init__(self, settings: RecordedSettings) -> None:
        self._folder = settings.folder

    def due(self, begin_us: int, end_us: int) -> int:
        """How many records there are in a range."""
        return sum(each.count for each in self._rows(begin_us, end_us))

    def between(self, begin_us: int, end_us: int) -> Iterator[Page]:
        """All of a range; raises `InvalidInput` where a file was cut."""
        found: dict[Signal, list[Rows]] = {"metrics": [], "logs": [], "traces": []}
        for each in self._rows(begin_us, end_us):
            found[_signal(each)].append(each)
        for signal, rows in found.items():
            held = sum(each.count for each in rows)
            yield Page(signal=signal, rows=rows, place=Place("", end_us), held=held)

    def close(self) -> None:
        """Nothing is open."""

    def _rows(self, begin_us: int, end_us: int) -> Iterator[Rows]:
        for minute_us in range(begin_us, end_us, MINUTE_US):
            path = self._folder / f"{minute_us}.rows"
            if path.is_file():
                yield from read_rows(path)


def _signal(rows: Rows) -> Signal:
    if isinstance(rows, SpanRows):
        return "traces"
    return "logs" if isinstance(rows, LogRows) else "metrics"
