"""Series of the Numenta Anomaly Benchmark: a file per signal, times as text without a zone, which is UTC."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from microservo.datasets.formats.names import read_names
from microservo.datasets.imports.columns import Points
from microservo.datasets.imports.csv_rows import CsvRows, text_instant_us
from microservo.datasets.imports.importer import ForeignFault, Notes
from microservo.domain.rows import Rows
from microservo.errors import InvalidInput

_LABELS = "labels/combined_windows.json"


class Nab:
    """The Numenta Anomaly Benchmark."""

    name: ClassVar[str] = "nab"

    def recognises(self, folder: Path) -> bool:
        """Whether it has data and labels."""
        return (folder / _LABELS).is_file() and (folder / "data").is_dir()

    def read(self, folder: Path, notes: Notes) -> Iterator[Rows | ForeignFault]:
        """A service for each folder of data, a metric for each file in it, a fault for each window."""
        labels = _labels(folder)
        path = folder / "names.csv"
        services = read_names(path).get("service", {}) if path.is_file() else {}
        found: dict[tuple[str, int, int], ForeignFault] = {}
        files = sorted((folder / "data").rglob("*.csv"))
        for file in files:
            place = file.relative_to(folder / "data").as_posix()
            service = services.get(file.parent.name, file.parent.name)
            points = Points(service)
            yield from _read(file, place, points, notes)
            for fault in _faults(place, labels.pop(place, []), service, _step_us(points)):
                found[fault.service, fault.start_us, fault.end_us or 0] = fault
        if not files:
            msg = f"{folder / 'data'} has no CSV files; expected data/<service>/<signal>.csv"
            raise InvalidInput(msg)
        for place in labels:
            notes.note(f"{_LABELS} labels {place}, which is not there")
        yield from found.values()


IMPORTER = Nab()


def _labels(folder: Path) -> dict[str, Any]:
    path = folder / _LABELS
    try:
        found = json.loads(path.read_bytes())
        if isinstance(found, dict):
            return found
        reason = "it is no object"
    except (OSError, ValueError, RecursionError) as error:
        reason = str(error)[:200]
    msg = f"{path} can't be read: {reason}"
    raise InvalidInput(msg)


def _read(file: Path, place: str, points: Points, notes: Notes) -> Iterator[Rows]:
    rows = CsvRows(file, place, ("timestamp", "value"))
    last_us = 0
    for row in rows:
        time_us = _instant_us(row["timestamp"])
        if time_us is None:
            rows.refuse(f"timestamp is {row['timestamp'][:40]!r}; expected 2014-02-14 14:30:00")
        if time_us < last_us:
            notes.note(f"{place}: the clock goes back; rows count at the time that they have")
        last_us = time_us
        points.add(time_us, file.stem, rows.number("value", row["value"]))
    if points.times:
        yield points.rows()


def _instant_us(text: str) -> int | None:
    """Microseconds of a time that may have a fraction of a second."""
    whole, _, fraction = text.partition(".")
    found = text_instant_us(whole)
    if found is None or (fraction and not fraction.isdigit()):
        return None
    return found + int((fraction + "000000")[:6])


def _step_us(points: Points) -> int:
    """From one row to the next, in the middle."""
    steps = sorted(abs(after - before) for before, after in zip(points.times, points.times[1:], strict=False))
    return steps[len(steps) // 2] if steps else 0


def _faults(place: str, windows: Any, service: str, step_us: int) -> Iterator[ForeignFault]:
    for number, window in enumerate(windows if isinstance(windows, list) else [windows], start=1):
        bounds = [_instant_us(str(each)) for each in window] if isinstance(window, list) else []
        if len(bounds) != 2 or bounds[0] is None or bounds[1] is None or bounds[1] < bounds[0]:
            msg = f"{_LABELS}, {place}, window {number}: {str(window)[:80]} is no pair of first and last row"
            raise InvalidInput(msg)
        yield ForeignFault(
            kind="anomaly",
            service=service,
            start_us=bounds[0],
            # The window names its last row, which holds until the next one.
            end_us=bounds[1] + max(1, step_us),
            within_us=step_us,
            said_in=_LABELS,
        )
