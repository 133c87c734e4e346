"""Records of one service in columns, ordered by the instant at which they began, each once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Column = NDArray[Any]

_WAITING = 20_000
"""Records that may wait to be put in order, so that a service which nobody asks about stays small."""


class Columns:
    """Columns of equal length that grow at their end, more or less.

    Args:
        order: name of the column that they are ordered by, microseconds UTC.
        identity: name of the column that tells records of one instant apart; one that agrees in both is it.
        kept_us: records that began longer before the newest are forgotten.
        most: as are the oldest beyond so many.
    """

    def __init__(self, *, order: str, identity: str, kept_us: int, most: int) -> None:
        self._order = order
        self._identity = identity
        self._kept_us = kept_us
        self._most = most
        self._columns: dict[str, Column] = {}
        self._waiting: list[dict[str, Column]] = []
        self._waiting_count = 0

    def add(self, **columns: Column) -> None:
        """Adds records, one value of each in every column."""
        self._waiting.append(columns)
        self._waiting_count += len(columns[self._order])
        if self._waiting_count > _WAITING:
            self.all()

    def all(self) -> dict[str, Column]:
        """All records, in order."""
        if self._waiting:
            self._insert()
        return self._columns

    def between(self, from_us: int, until_us: int) -> dict[str, Column]:
        """The records that began in [from, until), in order."""
        columns = self.all()
        if not columns:
            return {}
        begin, end = np.searchsorted(columns[self._order], (from_us, until_us)).tolist()
        return {name: column[begin:end] for name, column in columns.items()}

    def _insert(self) -> None:
        names = self._waiting[0].keys()
        added = {name: np.concatenate([each[name] for each in self._waiting]) for name in names}
        self._waiting, self._waiting_count = [], 0
        if not self._columns:
            self._columns = {name: column[:0] for name, column in added.items()}
        # Most of what comes is newer than nearly all that is there; only the end has to be put in order.
        split = int(np.searchsorted(self._columns[self._order], added[self._order].min(initial=1 << 62)))
        end = {name: np.concatenate((self._columns[name][split:], added[name])) for name in names}
        rows = self._distinct(end)
        kept = self._first_kept(int(end[self._order][rows[-1]]) if len(rows) else 0, len(rows), split)
        self._columns = {
            name: np.concatenate((self._columns[name][kept:split], end[name][rows])) for name in names
        }

    def _distinct(self, columns: dict[str, Column]) -> NDArray[np.intp]:
        order, identity = columns[self._order], columns[self._identity]
        rows: NDArray[np.intp] = np.lexsort((identity, order))
        repeats = np.zeros(len(rows), np.bool_)
        repeats[1:] = (np.diff(order[rows]) == 0) & (identity[rows[1:]] == identity[rows[:-1]])
        return rows[~repeats]

    def _first_kept(self, newest_us: int, added: int, split: int) -> int:
        begin = int(np.searchsorted(self._columns[self._order], newest_us - self._kept_us))
        if split + added - begin > self._most:
            # A fifth more, or each record that comes would move all others.
            begin = split + added - self._most * 4 // 5
        return min(max(begin, 0), split)


def of_stratum(by_stratum: NDArray[np.float64], stratum: NDArray[np.uint16]) -> NDArray[np.float64]:
    """The value of each record's stratum; the last one, of all records, for a stratum that has none."""
    values = by_stratum[np.minimum(stratum, len(by_stratum) - 1)]
    return np.where(np.isnan(values), by_stratum[-1], values)


def sums(values: NDArray[Any]) -> NDArray[np.float64]:
    """The sum of all values before each place, and of all; shape (values + 1,)."""
    found = np.zeros(len(values) + 1)
    np.cumsum(values, out=found[1:])
    return found


def share_of(flags: NDArray[np.bool_]) -> float:
    """The share of flags that are set; 0 of none."""
    return float(flags.mean()) if len(flags) else 0.0
