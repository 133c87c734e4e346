"""A recording of others, read whole before anything is published: by minutes, in a folder beside.

::

    importer ─► parts, each a run ─► rows ─► <part>/<minute>.rows, by the minute in which each begins
                                  └► faults, calls, notes ─► Staged

What can't be read is found here, so that nothing of a bad recording reaches a topic.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from microservo.adapters.rows_file import read_rows, to_bytes
from microservo.datasets.draft import writing
from microservo.datasets.imports.importer import ForeignCall, ForeignFault, Importer, Notes, Part
from microservo.datasets.imports.labels import Labels
from microservo.datasets.imports.registry import importer_of
from microservo.datasets.imports.span_of_time import ALL_OF_IT, SpanOfTime, refuse_long
from microservo.datasets.imports.unpacking import unpacked
from microservo.domain.bounded_names import cut
from microservo.domain.completeness import MINUTE_US
from microservo.domain.graph import Edge
from microservo.domain.row_slices import event_us
from microservo.domain.rows import Rows, SpanRows
from microservo.domain.telemetry import Int64
from microservo.errors import InvalidInput

_BUFFER_BYTES = 64 * 2**20
_DIGITS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """A recording that was read, or the part of one that is a run.

    Attributes:
        format_name: that of its importer.
        part: which part it is; "" where there are no others.
        folder: where its minutes are.
        from_us: begin of its first minute, microseconds UTC.
        until_us: end of its last minute.
        records: how many points, lines and spans it holds.
        edges: who calls whom, by its spans and its graph.
        faults: what its labels say, in order of time.
        fault_free_until_us: until when there is no fault, by its labels; None where they don't say.
        notes: what was found odd, and what was made of it.
        digest: the first digits of a SHA-256 of all of it.
    """

    format_name: str
    part: str
    folder: Path
    from_us: int
    until_us: int
    records: int
    edges: frozenset[Edge]
    faults: tuple[ForeignFault, ...]
    fault_free_until_us: int | None
    notes: tuple[str, ...]
    digest: str


def stage(
    path: Path,
    format_name: str,
    folder: Path,
    *,
    within: SpanOfTime = ALL_OF_IT,
    progress: Callable[[float, float], None],
) -> tuple[Staged, ...]:
    """Reads a recording into a folder, which is emptied first; each of its parts into one of its own.

    Args:
        path: the recording: a folder, or an archive with one in it.
        format_name: that of an importer, or `auto`.
        folder: where the minutes go; on a refusal there is none.
        within: what is outside of it is left out.
        progress: called as (parts that were read, parts).

    Raises:
        InvalidInput: it can't be read; the message names file and row.
        Unavailable: there is no room.
    """
    place = folder.parent / f"{folder.name}-unpacked"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        root = unpacked(path, place) if path.is_file() else path
        importer = importer_of(root, format_name)
        return tuple(_staged(importer, root, folder, within, progress))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _staged(
    importer: Importer, root: Path, folder: Path, within: SpanOfTime, progress: Callable[[float, float], None]
) -> Iterator[Staged]:
    parts = importer.parts(root)
    is_empty = True
    for number, part in enumerate(parts):
        progress(number, len(parts))
        with _named(part, len(parts)):
            staged = _read_part(importer, part, folder / str(number), within)
        if staged is not None:
            is_empty = False
            yield staged
    if is_empty:
        msg = f"{root} holds no point, line or span that can be used{within.words}"
        raise InvalidInput(msg)


def _read_part(importer: Importer, part: Part, folder: Path, within: SpanOfTime) -> Staged | None:
    """Of a part that holds nothing nothing stays."""
    notes, labels, calls, minutes = Notes(), Labels(within), set[Edge](), _Minutes(folder, within)
    for each in importer.read(part, notes):
        if isinstance(each, ForeignFault):
            labels.add(each)
        elif isinstance(each, ForeignCall):
            calls.add((each.caller, each.callee))
        elif each.count:
            minutes.add(each, notes)
    minutes.flush()
    if not minutes.records:
        return None
    from_us, until_us = min(minutes.begins_us), (minutes.last_us // MINUTE_US + 1) * MINUTE_US
    refuse_long(from_us, until_us, notes.extent, within)
    faults = labels.within(from_us, until_us, notes)
    return Staged(
        format_name=importer.name,
        part=part.name,
        folder=folder,
        from_us=from_us,
        until_us=until_us,
        records=minutes.records,
        edges=frozenset(calls) | _edges(folder, sorted(minutes.begins_us)),
        faults=faults,
        fault_free_until_us=until_us if part.is_fault_free else labels.fault_free_until_us(from_us),
        notes=notes.sentences,
        digest=minutes.digest,
    )


@contextmanager
def _named(part: Part, count: int) -> Iterator[None]:
    """Says of which part a refusal is, where there are several and it does not say so."""
    try:
        yield
    except InvalidInput as error:
        if count == 1 or part.name in str(error):
            raise
        msg = f"{part.name}: {error}"
        raise InvalidInput(msg) from error


def minute_file(folder: Path, begin_us: int) -> Path:
    """Where the rows of a minute are."""
    return folder / f"{begin_us}.rows"


class _Minutes:
    """The files of the minutes, which grow."""

    def __init__(self, folder: Path, within: SpanOfTime) -> None:
        self._folder = folder
        self._within = within
        self._parts: dict[int, list[bytes]] = {}
        self._bytes = 0
        self._hash = hashlib.sha256()
        self.begins_us: set[int] = set()
        self.last_us = 0
        self.records = 0

    def add(self, rows: Rows, notes: Notes) -> None:
        """Adds rows, to the minute in which each begins."""
        if not rows.service:
            notes.note("a record names no service, and is left out", rows.count)
            return
        rows = self._within.of_rows(rows, _begins(rows), notes)
        if not rows.count:
            return
        rows = replace(rows, service=cut(rows.service), instance=cut(rows.instance))
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
        """Writes down what was added.

        Raises:
            Unavailable: there is no room.
        """
        with writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
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
