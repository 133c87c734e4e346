"""Slices of event time: what one reader of a run hands on, so that several readers' rows can be merged."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from microservo.datasets.arrays import values_of

SLICE_US = 20_000_000
"""Length of a slice in microseconds; changes nothing but how much is held at a time."""

Tables = Mapping[str, pa.Table]
"""Tables by the name of their file in the dataset."""


class Kept(NamedTuple):
    """A slice was stored, by its number."""

    number: int


def by_slice(table: pa.Table, time_column: str) -> Iterator[tuple[int, pa.Table]]:
    """The rows, which are in order of time, by the number of their slice: time divided by `SLICE_US`."""
    if not table.num_rows:
        return
    numbers = values_of(table.column(time_column)) // SLICE_US
    edges = [0, *(np.flatnonzero(numbers[1:] != numbers[:-1]) + 1).tolist(), len(numbers)]
    for begin, end in itertools.pairwise(edges):
        yield int(numbers[begin]), table.slice(begin, end - begin)


def store(folder: Path, number: int, tables: Tables) -> None:
    """Writes a slice into files of Arrow's own format."""
    for name, table in tables.items():
        path = str(folder / f"{number}-{name}.arrow")
        with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)


def load(folder: Path, number: int) -> Tables:
    """The tables of a stored slice, mapped into memory; its files are gone when the tables are."""
    found = {}
    for path in sorted(folder.glob(f"{number}-*.arrow")):
        with pa.memory_map(str(path)) as source:
            name = path.name.removeprefix(f"{number}-").removesuffix(".arrow")
            found[name] = pa.ipc.open_file(source).read_all()
        path.unlink()
    return found
