"""Series of the Numenta Anomaly Benchmark: a file per signal, times as text without a zone, which is UTC."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from microservo.datasets.formats.names import read_names
from microservo.datasets.imports.columns import Points
from microservo.datasets.imports.csv_rows import Clock, CsvRows, text_instant_us
from microservo.datasets.imports.importer import Foreign, ForeignFault, Notes, Part
from microservo.datasets.imports.json_file import read_json
from microservo.domain.rows import Rows
from microservo.errors import InvalidInput

_LABELS = "labels/combined_windows.json"
_INSTANTS = "labels/combined_labels.json"


class Nab:
    """The Numenta Anomaly Benchmark."""

    name: ClassVar[str] = "nab"

    def recognises(self, folder: Path) -> bool:
        """Whether it has data and labels."""
        return (folder / _LABELS).is_file() and (folder / "data").is_dir()

    def parts(self, folder: Path) -> Sequence[Part]:
        """All of it: signals of one folder belong together, and so may folders."""
        return [Part(name="", folders=(folder,))]

    def read(self, part: Part, notes: Notes) -> Iterator[Foreign]:
        """A service for each folder of data, a metric for each file in it, a fault for each window."""
        (folder,) = part.folders
        labels = _labels(folder, _LABELS)
        instants = _labels(folder, _INSTANTS) if (folder / _INSTANTS).is_file() else {}
        path = folder / "names.csv"
        services = read_names(path).get("service", {}) if path.is_file() else {}
        found: dict[tuple[str, int, int], ForeignFault] = {}
        files = sorted((folder / "data").rglob("*.csv"))
        for file in files:
            place = file.relative_to(folder / "data").as_posix()
            service = services.get(file.parent.name, file.parent.name)
            clock = Clock(place, notes)
            yield from _read(file, place, Points(service), clock, notes)
            if place not in labels:
                notes.note(f"{_LABELS} does not name {place}, so it has no labels")
            of_file = list(_faults(place, labels.pop(place, []), service, clock.step_us))
            found |= {(each.service, each.start_us, each.end_us or 0): each for each in of_file}
            _note_outside(place, instants.get(place, []), of_file, notes)
        if not files:
            msg = f"{folder / 'data'} has no CSV files; expected data/<service>/<signal>.csv"
            raise InvalidInput(msg)
        for place in labels:
            notes.note(f"{_LABELS} labels {place}, which is not there")
        yield from found.values()


IMPORTER = Nab()


def _labels(folder: Path, name: str) -> dict[str, Any]:
    found = read_json(folder / name, name)
    if isinstance(found, dict):
        return found
    msg = f"{name}, row 1: it is no object with a list for each file"
    raise InvalidInput(msg)


def _note_outside(place: str, instants: Any, faults: Sequence[ForeignFault], notes: Notes) -> None:
    """Says which instants that people marked lie in no window: NAB's own scorer goes by the windows."""
    for text in instants if isinstance(instants, list) else []:
        time_us = text_instant_us(str(text))
        if time_us is None or not any(each.start_us <= time_us < (each.end_us or 0) for each in faults):
            notes.note(
                f"{_INSTANTS} marks {str(text)[:40]} in {place}, which is in no window; the windows count"
            )


def _read(file: Path, place: str, points: Points, clock: Clock, notes: Notes) -> Iterator[Rows]:
    rows = CsvRows(file, place, ("timestamp", "value"), notes, ())
    for row in rows:
        time_us = text_instant_us(row["timestamp"])
        if time_us is None:
            rows.refuse(f"timestamp is {row['timestamp'][:40]!r}; expected 2014-02-14 14:30:00")
        clock.tick(rows.at(time_us, "timestamp", row["timestamp"]))
        points.add(time_us, file.stem, rows.number("value", row["value"]))
        if points.is_full:
            yield points.rows()
            points.clear()
    clock.note_gaps()
    if points.times:
        yield points.rows()


def _faults(place: str, windows: Any, service: str, step_us: int) -> Iterator[ForeignFault]:
    for number, window in enumerate(windows if isinstance(windows, list) else [windows], start=1):
        bounds = [text_instant_us(str(each)) for each in window] if isinstance(window, list) else []
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
