"""A recording of others, read whole before anything is published: by minutes, in a folder beside.

::

    importer ─► rows ─► <minute>.rows, by the minute in which each begins
             └► faults, notes ─► Staged

What can't be read is found here, so that nothing of a bad recording reaches a topic.
"""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from microservo.adapters.rows_file import read_rows, to_bytes
from microservo.datasets.imports.importer import ForeignFault, Notes
from microservo.datasets.imports.registry import importer_of
from microservo.datasets.imports.unpacking import unpacked
from microservo.domain.completeness import MINUTE_US
from microservo.domain.graph import Edge
from microservo.domain.row_slices import event_us
from microservo.domain.rows import Rows, SpanRows
from microservo.domain.telemetry import Int64
from microservo.errors import InvalidInput

LONGEST_US = 7 * 86_400_000_000
"""A longer recording is refused: its windows would be silent nearly all."""
_BUFFER_BYTES = 64 * 2**20
_DIGITS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """A recording that was read.

    Attributes:
        format_name: that of its importer.
        from_us: begin of its first minute, microseconds UTC.
        until_us: end of its last minute.
        records: how many points, lines and spans it holds.
        edges: who calls whom, by its spans.
        faults: what its labels say, in order of time.
        notes: what was found odd, and what was made of it.
        digest: the first digits of a SHA-256 of all of it.
    """

    format_name: str
    from_us: int
    until_us: int
    records: int
    edges: frozenset[Edge]
    faults: tuple[ForeignFault, ...]
    notes: tuple[str, ...]
    digest: str


def stage(path: Path, format_name: str, folder: Path, *, progress: Callable[[float, float], None]) -> Staged:
    """Reads a recording into a folder, which is emptied first.

    Args:
        path: the recording: a folder, or an archive with one in it.
        format_name: that of an importer, or `auto`.
        folder: where its minutes go.
        progress: called as (files that were read, files).

    Raises:
        InvalidInput: it can't be read; the message names file and row.
    """
    if path.is_file():
        place = unpacked(path, folder.parent / "unpacked")
        try:
            return _stage(place, format_name, folder, progress)
        finally:
            shutil.rmtree(place, ignore_errors=True)
    return _stage(path, format_name, folder, progress)


def _stage(path: Path, format_name: str, folder: Path, progress: Callable[[float, float], None]) -> Staged:
    importer, notes = importer_of(path, format_name), Notes()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    faults: list[ForeignFault] = []
    minutes = _Minutes(folder)
    for number, each in enumerate(importer.read(path, notes), start=1):
        if isinstance(each, ForeignFault):
            faults.append(each)
        elif each.count:
            minutes.add(each)
        progress(number, number + 1)
    minutes.flush()
    if not minutes.records:
        msg = f"{path} holds no point, line or span that can be used"
        raise InvalidInput(msg)
    first_us, last_us = min(minutes.begins_us), minutes.last_us
    from_us, until_us = first_us, (last_us // MINUTE_US + 1) * MINUTE_US
    if until_us - from_us > LONGEST_US:
        days, most = (until_us - from_us) / 86_400e6, LONGEST_US // 86_400_000_000
        msg = f"{path} spans {days:.0f} days, and a run may span {most}; import parts of it, each as a run"
        raise InvalidInput(msg)
    kept = [each for each in _distinct(faults, notes) if _is_within(each, from_us, until_us, notes)]
    return Staged(
        format_name=importer.name,
        from_us=from_us,
        until_us=until_us,
        records=minutes.records,
        edges=_edges(folder, sorted(minutes.begins_us)),
        faults=tuple(sorted(kept, key=lambda each: (each.start_us, each.service, each.kind, each.instance))),
        notes=notes.sentences,
        digest=minutes.digest,
    )


def minute_file(folder: Path, begin_us: int) -> Path:
    """Where the rows of a minute are."""
    return folder / f"{begin_us}.rows"


class _Minutes:
    """The files of the minutes, which grow."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._parts: dict[int, list[bytes]] = {}
        self._bytes = 0
        self._hash = hashlib.sha256()
        self.begins_us: set[int] = set()
        self.last_us = 0
        self.records = 0

    def add(self, rows: Rows) -> None:
        """Adds rows, to the minute in which each begins."""
        begin_us = _begins(rows) // MINUTE_US * MINUTE_US
        for minute_us in np.unique(begin_us).tolist():
            part = to_bytes(rows.at(np.flatnonzero(begin_us == minute_us)))
            self._hash.update(part)
            self._parts.setdefault(minute_us, []).append(part)
            self.begins_us.add(minute_us)
            self._bytes += len(part)
        self.records += rows.count
        self.last_us = max(self.last_us, int(event_us(rows).max()))
        if self._bytes > _BUFFER_BYTES:
            self.flush()

    def flush(self) -> None:
        """Writes down what was added."""
        for minute_us, parts in self._parts.items():
            with minute_file(self._folder, minute_us).open("ab") as file:
                file.writelines(parts)
        self._parts.clear()
        self._bytes = 0

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()[:_DIGITS]


def _begins(rows: Rows) -> Int64:
    return rows.start_us if isinstance(rows, SpanRows) else rows.time_us


def _distinct(faults: Iterable[ForeignFault], notes: Notes) -> Iterator[ForeignFault]:
    """Each fault once, by service, instance, kind and start: where a label comes again the first counts."""
    counts: Counter[tuple[str, str, str, int]] = Counter()
    for each in faults:
        key = (each.service, each.instance, each.kind, each.start_us)
        counts[key] += 1
        if counts[key] == 1:
            yield each
        else:
            notes.note(f"{each.said_in}: the label of another fault comes again, and is left out")


def _is_within(fault: ForeignFault, from_us: int, until_us: int, notes: Notes) -> bool:
    if from_us <= fault.start_us < until_us:
        return True
    notes.note(
        f"{fault.said_in}: {fault.kind} at {fault.service} lies outside of all telemetry, and is left out"
    )
    return False


def _edges(folder: Path, minutes_us: list[int]) -> frozenset[Edge]:
    """Who calls whom: the service of a span's parent, where both are of one minute or the next."""
    found: set[Edge] = set()
    before: dict[bytes, str] = {}
    for minute_us in minutes_us:
        spans = [each for each in read_rows(minute_file(folder, minute_us)) if isinstance(each, SpanRows)]
        own = {span.tobytes(): each.service for each in spans for span in each.span_id}
        known = {**before, **own}
        for each in spans:
            callers = {known.get(parent.tobytes()) for parent in np.unique(each.parent_id.view("V8"))}
            found |= {(caller, each.service) for caller in callers if caller and caller != each.service}
        before = own
    return frozenset(found)
