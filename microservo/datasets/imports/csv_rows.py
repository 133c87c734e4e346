"""CSV of others, row by row: what can't be read is refused by file and row, and no line fills the memory."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from microservo.errors import InvalidInput

LONGEST_LINE = 4 * 2**20
"""Bytes of a line; longer ones are refused."""
_EARLIEST_US, _LATEST_US = 978_307_200_000_000, 4_102_444_800_000_000
"""2001 and 2100: an instant outside was read in a wrong unit."""
_UNITS = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}


class CsvRows:
    """The rows of a file, each as a mapping of its columns.

    Args:
        path: the file.
        name: what errors call it.
        needed: columns that must be there; any others are given too.

    Raises:
        InvalidInput: the file has no such columns, or can't be read.
    """

    def __init__(self, path: Path, name: str, needed: Sequence[str]) -> None:
        self._path, self._name = path, name
        self.row = 0
        """Number of the line that the newest row ends with, from 1."""
        self._rows = self._read()
        self.columns: tuple[str, ...] = next(self._rows, ())
        missing = [each for each in needed if each not in self.columns]
        if missing:
            self.refuse(f"there is no column {', '.join(missing)}; it has {', '.join(self.columns)[:200]}")

    def __iter__(self) -> Iterator[dict[str, str]]:
        for values in self._rows:
            if not values:
                continue
            if len(values) != len(self.columns):
                self.refuse(
                    f"{len(values)} values for {len(self.columns)} columns; it was cut, or is no such CSV"
                )
            # Of two columns of one name the first counts.
            yield dict(zip(reversed(self.columns), reversed(values), strict=True))

    def refuse(self, what: str) -> NoReturn:
        """Refuses the newest row.

        Raises:
            InvalidInput: always.
        """
        msg = f"{self._name}, row {self.row}: {what}"
        raise InvalidInput(msg)

    def number(self, column: str, text: str) -> float:
        """A value as a number; NaN for an empty one."""
        if not text:
            return math.nan
        try:
            return float(text)
        except ValueError:
            self.refuse(f"{column} is {text[:40]!r}, which is no number")

    def instant_us(self, column: str, text: str, unit: str) -> int:
        """An instant in microseconds UTC, given in s, ms, us or ns since 1970."""
        try:
            whole = int(text)
            found = round(whole * _UNITS[unit]) if unit in ("s", "ms") else whole
            found = whole // 1000 if unit == "ns" else found
        except ValueError:
            value = self.number(column, text)
            found = round(value * _UNITS[unit]) if math.isfinite(value) else 0
        if not _EARLIEST_US <= found < _LATEST_US:
            self.refuse(f"{column} is {text[:40]!r}, which in {unit} is no instant between 2001 and 2100")
        return found

    def _read(self) -> Iterator[tuple[str, ...]]:
        csv.field_size_limit(LONGEST_LINE)
        reader = csv.reader(self._lines(), strict=True)
        try:
            for values in reader:
                yield tuple(values)
        except csv.Error as error:
            self.refuse(str(error))
        except OSError as error:
            self.refuse(f"it can't be read: {error.strerror}")

    def _lines(self) -> Iterator[str]:
        with self._path.open("rb") as file:
            while raw := file.readline(LONGEST_LINE + 1):
                self.row += 1
                if len(raw) > LONGEST_LINE:
                    self.refuse(f"the line is longer than {LONGEST_LINE} bytes")
                try:
                    yield raw.decode("utf-8-sig" if self.row == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    self.refuse(f"byte {error.start} is no UTF-8; convert the file")


def text_instant_us(text: str) -> int | None:
    """Microseconds UTC of `2022-08-22 03:51:12`, with or without a zone behind it; None for anything else.

    Example:
        >>> text_instant_us("2022-08-22 11:51:12 +0800 CST"), text_instant_us("yesterday")
        (1661140272000000, None)
    """
    whole = text.strip().replace("T", " ")
    instant, _, zone = whole[:19], "", whole[19:].strip().split(" ")[0] if whole[19:] else ""
    for pattern, written in (("%Y-%m-%d %H:%M:%S %z", f"{instant} {zone}"), ("%Y-%m-%d %H:%M:%S", instant)):
        try:
            found = datetime.strptime(written, pattern)  # noqa: DTZ007 - UTC where there is no zone
        except ValueError:
            continue
        return round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1e6)
    return None
