"""CSV of others, row by row: what can't be read is refused by file and row, and no line fills the memory."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import NoReturn

from microservo.datasets.imports.importer import Notes
from microservo.errors import InvalidInput

LONGEST_ROW = 4 * 2**20
"""Bytes of a row, of however many lines; longer ones are refused."""
EARLIEST_US, LATEST_US = 978_307_200_000_000, 4_102_444_800_000_000
"""2001 and 2100: an instant outside was read in a wrong unit."""
_UNITS = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}
_MOST_STEPS = 10_000
_GAP = 10
"""Rows that may be missing before that is told."""
_INSTANT = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)[ T](?P<time>\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d{1,9}))?"
    r"(?: ?(?P<zone>Z|[+-]\d\d:?\d\d)(?: [A-Z]{2,5})?(?: m=[+-][\d.]+)?| ?UTC)?"
)
_SHOWN = 200
"""Characters of a list of columns in a message."""


class CsvFile:
    """The rows of a file, each as its values.

    Args:
        path: the file.
        name: what errors call it.
        notes: gets what is odd, and from when to when the rows reach.
        damaged: how many rows may have text behind a closing quote: those are left out, and noted.
    """

    def __init__(self, path: Path, name: str, notes: Notes, *, damaged: int = 0) -> None:
        self._path, self._name, self._notes = path, name, notes
        self._damaged, self._is_over = damaged, False
        self.row = 0
        """Number of the line that the newest row ends with, from 1."""
        self._row_bytes = 0
        self.values = self._read()
        """Those of each row that is not empty."""

    def refuse(self, what: str) -> NoReturn:
        """Refuses the newest row.

        Raises:
            InvalidInput: always.
        """
        msg = f"{self._name}, row {max(1, self.row)}: {what}"
        raise InvalidInput(msg)

    def refuse_other_width(self, values: Sequence[str], columns: Sequence[str]) -> None:
        """Refuses the newest row where it has not one value for each column."""
        if len(values) != len(columns):
            self.refuse(f"{len(values)} values for {len(columns)} columns; it was cut, or is no such CSV")

    def number(self, column: str, text: str) -> float:
        """A value as a number; NaN for an empty one."""
        if not text:
            return math.nan
        try:
            return float(_plain(text))
        except ValueError:
            self.refuse(f"{column[:80]} is {text[:40]!r}, which is no number")

    def instant_us(self, column: str, text: str, unit: str) -> int:
        """An instant in microseconds UTC, given in s, ms, us or ns since 1970."""
        try:
            whole = int(_plain(text))
            found = round(whole * _UNITS[unit]) if unit in ("s", "ms") else whole
            found = whole // 1000 if unit == "ns" else found
        except (ValueError, OverflowError):
            value = self.number(column, text)
            found = round(value * _UNITS[unit]) if math.isfinite(value) else 0
        return self.at(found, column, f"{text[:40]!r} in {unit}")

    def at(self, time_us: int, column: str, written: str) -> int:
        """An instant of the newest row, which has to be one.

        Args:
            time_us: microseconds UTC.
            column: which has it.
            written: as it stands there.
        """
        if not EARLIEST_US <= time_us < LATEST_US:
            self.refuse(f"{column} is {written}, which is no instant between 2001 and 2100")
        self._notes.extent.add(time_us, self._name, self.row)
        return time_us

    def _read(self) -> Iterator[tuple[str, ...]]:
        csv.field_size_limit(LONGEST_ROW)
        lines = self._lines()
        try:
            while not self._is_over:
                yield from self._read_undamaged(lines)
        except OSError as error:
            self.refuse(f"it can't be read: {error.strerror}")

    def _read_undamaged(self, lines: Iterator[str]) -> Iterator[tuple[str, ...]]:
        """All rows up to one that is damaged."""
        try:
            for values in csv.reader(lines, strict=True):
                self._row_bytes = 0
                if values:
                    yield tuple(values)
        except csv.Error as error:
            if self._is_over or not self._damaged:
                self.refuse(f"{error}; it was cut, or is no such CSV")
            self._damaged -= 1
            self._row_bytes = 0
            self._notes.note(f"{self._name}, row {self.row}: {error}; the row is left out")

    def _lines(self) -> Iterator[str]:
        end = b"\n"
        with self._path.open("rb") as file:
            while raw := file.readline(LONGEST_ROW + 1):
                self.row += 1
                end = raw[-1:]
                self._row_bytes += len(raw)
                if self._row_bytes > LONGEST_ROW:
                    self.refuse(f"the row is longer than {LONGEST_ROW} bytes; is a quote missing?")
                try:
                    yield raw.decode("utf-8-sig" if self.row == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    self.refuse(f"byte {error.start} is no UTF-8; convert the file")
        self._is_over = True
        if end != b"\n":
            self._notes.note(f"{self._name}, row {self.row}: the last row has no line end; was the file cut?")


class CsvRows(CsvFile):
    """The rows of a file, each as a mapping of its columns.

    Args:
        path: the file.
        name: what errors call it.
        needed: columns that must be there.
        notes: as above, also of columns.
        known: other columns that are read; a note says which others there are. All are where None.
        damaged: as above.

    Raises:
        InvalidInput: the file has no such columns, or can't be read.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        needed: Sequence[str],
        notes: Notes,
        known: Sequence[str] | None = None,
        *,
        damaged: int = 0,
    ) -> None:
        super().__init__(path, name, notes, damaged=damaged)
        self.columns: tuple[str, ...] = next(self.values, ())
        missing = [each for each in needed if each not in self.columns]
        if missing:
            has = ", ".join(self.columns)[:_SHOWN] or "none"
            self.refuse(f"there is no column {', '.join(missing)}; it has {has}")
        self._note_columns({*needed, *(self.columns if known is None else known)})

    def __iter__(self) -> Iterator[dict[str, str]]:
        # Of two columns of one name the first counts.
        columns = self.columns[::-1]
        for values in self.values:
            self.refuse_other_width(values, columns)
            yield dict(zip(columns, reversed(values), strict=True))

    def _note_columns(self, read: set[str]) -> None:
        place = f"{self._name}, row {self.row}"
        if twice := sorted(each for each, times in Counter(self.columns).items() if times > 1):
            self._notes.note(
                f"{place}: column {', '.join(twice)[:_SHOWN]} is there twice; the first of both counts"
            )
        if unknown := [each for each in self.columns if each not in read]:
            self._notes.note(f"{place}: column {', '.join(unknown)[:_SHOWN]} is not known, and left out")


def _plain(text: str) -> str:
    """The same number, and none where Python would take one: its own digits may be grouped by underscores."""
    return text.replace("_", "?")


class Clock:
    """Follows the times of a series, and notes where they jump.

    Args:
        name: what notes call the file.
        notes: gets the jumps.
    """

    def __init__(self, name: str, notes: Notes) -> None:
        self._name, self._notes = name, notes
        self._last_us = 0
        self._steps: dict[int, int] = {}

    def tick(self, time_us: int) -> None:
        """Counts the next row."""
        step_us, self._last_us = time_us - self._last_us, time_us
        if step_us == time_us:
            return
        if step_us < 0:
            self._notes.note(f"{self._name}: the clock goes back; rows count at the time that they have")
        elif step_us == 0:
            self._notes.note(f"{self._name}: an instant comes again; both rows count")
        elif step_us in self._steps or len(self._steps) < _MOST_STEPS:
            self._steps[step_us] = self._steps.get(step_us, 0) + 1

    @property
    def step_us(self) -> int:
        """From one row to the next, most often; 0 where there is but one."""
        return max(self._steps, key=lambda each: (self._steps[each], -each), default=0)

    def note_gaps(self) -> None:
        """Notes steps that are much larger than others: rows are missing, or the clock was put forward."""
        large = {us: times for us, times in self._steps.items() if us > _GAP * self.step_us}
        if large:
            self._notes.note(
                f"{self._name}: the time jumps ahead by over {_GAP} rows ({max(large) / 1e6:g} s at most),"
                " and nothing is put there",
                sum(large.values()),
            )


def text_instant_us(text: str) -> int | None:
    """Microseconds UTC of `2022-08-22 03:51:12.5`, with or without a zone behind it; None for anything else.

    Behind the zone may stand what Go's own text has there: `+0000 UTC m=+0.11`.

    Example:
        >>> text_instant_us("2022-08-22 11:51:12 +0800 CST"), text_instant_us("2022-08-22 11:51:12 CST")
        (1661140272000000, None)
    """
    found = _INSTANT.fullmatch(text.strip())
    if found is None:
        return None
    zone = (found["zone"] or "+0000").replace("Z", "+0000").replace(":", "")
    try:
        whole = datetime.strptime(f"{found['day']} {found['time']} {zone}", "%Y-%m-%d %H:%M:%S %z")
    except ValueError:
        return None
    return round(whole.timestamp()) * 1_000_000 + int(((found["fraction"] or "") + "000000")[:6])
