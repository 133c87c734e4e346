"""The slices of several readers as one sequence, in order of event time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from microservo.datasets.arrays import column_array, values_of
from microservo.datasets.rows import in_order
from microservo.datasets.share import Outcome
from microservo.datasets.slices import Tables
from microservo.datasets.windows import WINDOW_TABLES
from microservo.domain.telemetry import SIGNALS
from microservo.domain.window_policy import WindowPolicy


class Stored(NamedTuple):
    """A slice by its number, and what brings its tables."""

    number: int
    tables: Callable[[], Tables]


class Merge:
    """Holds slices back until every reader is beyond them.

    Args:
        readers: how many there are; they are known by number.
        policy: how windows are cut.
    """

    def __init__(self, readers: int, policy: WindowPolicy) -> None:
        self._policy = policy
        self._final = [-1] * readers
        self._waiting: dict[int, list[tuple[int, Stored]]] = {}

    def add(self, reader: int, stored: Stored) -> None:
        """Adds a slice."""
        self._waiting.setdefault(stored.number, []).append((reader, stored))

    def advance(self, reader: int, number: int) -> Iterator[Tables]:
        """A reader is beyond all slices before `number`; returns the slices that are whole now."""
        self._final[reader] = number
        for ready in sorted(each for each in self._waiting if each < min(self._final)):
            # By reader, so that nothing follows which was quicker.
            waiting = sorted(self._waiting.pop(ready), key=_reader)
            yield self._merged(ready, [stored.tables() for _, stored in waiting])

    def _merged(self, number: int, slices: Sequence[Tables]) -> Tables:
        found: dict[str, pa.Table] = {}
        for name in WINDOW_TABLES:
            if windows := [each[name] for each in slices if name in each]:
                found[name] = _windows(windows)
        for signal in SIGNALS:
            name = f"{signal}.parquet"
            if packed := [each[name] for each in slices if name in each]:
                found[name] = in_order(signal, number, packed, self._policy)
        return found


def merged_outcome(outcomes: Sequence[Outcome]) -> Outcome:
    """What all readers came to together."""
    first = outcomes[0]
    totals = {
        source: {name: sum(each.totals[source][name] for each in outcomes) for name in counts}
        for source, counts in first.totals.items()
    }
    final = {index: at_us for each in outcomes for index, at_us in each.final_us.items()}
    return Outcome(
        totals=totals,
        final_us=dict(sorted(final.items())),
        unfinished=sorted({window for each in outcomes for window in each.unfinished}),
    )


def _reader(item: tuple[int, Stored]) -> int:
    return item[0]


def _windows(tables: Sequence[pa.Table]) -> pa.Table:
    """By start, then by service; a service's windows come from one reader, with their revisions in order."""
    if len(tables) == 1:
        return tables[0]
    windows = pa.concat_tables(tables)
    starts = values_of(windows.column("start"))
    services = values_of(pc.rank(windows.column("service").combine_chunks(), tiebreaker="dense"))
    return windows.take(column_array(np.lexsort((services, starts))))
