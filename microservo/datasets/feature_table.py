"""`features.parquet`: a row per service and final window, a plain column per feature.

It is made of `windows.parquet`, where the features of a window are two lists: what columns there are is only
known when all windows are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from microservo.datasets.arrays import array_of, column_array, values_of
from microservo.datasets.formats.cut import TEST, TRAIN, Cut
from microservo.datasets.formats.reading import Tables
from microservo.datasets.tables import TIME

FEATURES = "features.parquet"
KEYS = {
    "run_id": "run_id",
    "service": "service",
    "service_kind": "service_kind",
    "start": "start",
    "end": "end",
    "truth": "truth",
    "role": "role",
    "fault_id": "fault_id",
    "kind": "fault_kind",
    "phase": "phase",
}
"""Columns beside `split` and the features, and what `windows.parquet` calls them."""
_UNKNOWN = ("role", "fault_id", "kind", "phase")
_WINDOWS = "windows.parquet"
_NAMES, _VALUES = "feature_names", "feature_values"
_CELLS = 1 << 21
"""Numbers in a row group, about: 16 MiB in memory."""
_ZSTD_LEVEL = 1


@dataclass(frozen=True)
class FeatureRows:
    """The rows of `features.parquet`.

    Args:
        folder: with `windows.parquet`.
        cut: where the run is cut in two; None where it is not.
    """

    folder: Path
    cut: Cut | None

    def schema(self) -> pa.Schema:
        """The keys, `split`, and then the features that occur, sorted; no feature is null, absent is NaN."""
        keys = [
            pa.field(name, TIME if name in ("start", "end") else pa.string(), nullable=name in _UNKNOWN)
            for name in KEYS
        ]
        split = pa.field("split", pa.string())
        features = [pa.field(name, pa.float64(), nullable=False) for name in self._feature_names()]
        return pa.schema([*keys, split, *features])

    def blocks(self, schema: pa.Schema) -> Iterator[pa.Table]:
        """All rows, in the order of the windows; each block but the last has as many as fit a row group."""
        places = {name: place for place, name in enumerate(schema.names[len(KEYS) + 1 :])}
        with self._windows() as file:
            rows = file.metadata.row_group(0).num_rows if file.metadata.num_row_groups else 1
            together = max(1, _CELLS // (rows * max(1, len(places))))
            count = file.metadata.num_row_groups
            columns = [*KEYS.values(), _NAMES, _VALUES]
            for first in range(0, count, together):
                numbers = range(first, min(first + together, count))
                windows = pa.concat_tables(file.read_row_group(number, columns) for number in numbers)
                yield self._wide(windows.unify_dictionaries().combine_chunks(), places, schema)

    def _windows(self) -> pq.ParquetFile:
        # Numbers in place of texts: each name is compared once for a row group, not once for a window.
        return pq.ParquetFile(self.folder / _WINDOWS, read_dictionary=[f"{_NAMES}.list.element"])

    def _feature_names(self) -> list[str]:
        found: set[str] = set()
        with self._windows() as file:
            for number in range(file.metadata.num_row_groups):
                for chunk in file.read_row_group(number, [_NAMES]).column(_NAMES).chunks:
                    names = chunk.flatten()
                    texts = names.dictionary.to_pylist()
                    found.update(texts[each] for each in np.unique(values_of(names.indices)).tolist())
        return sorted(found)

    def _splits(self, windows: pa.Table) -> list[str | None]:
        """The side of each window; None where a fault of the other side touches it."""
        if self.cut is None:
            return [TRAIN] * windows.num_rows
        starts_us, services = values_of(windows.column("start")), windows.column("service").to_pylist()
        across = self._across
        return [
            None if (start_us, service) in across else TEST if start_us >= self.cut.at_us else TRAIN
            for start_us, service in zip(starts_us.tolist(), services, strict=True)
        ]

    @cached_property
    def _across(self) -> frozenset[tuple[int, str]]:
        return frozenset() if self.cut is None else self.cut.touched_across(Tables(self.folder))

    def _wide(self, windows: pa.Table, places: dict[str, int], schema: pa.Schema) -> pa.Table:
        keys = [windows.column(source).cast(schema.field(name).type) for name, source in KEYS.items()]
        split = array_of(self._splits(windows), pa.string())
        features = [column_array(values) for values in _pivoted(windows, places)]
        return pa.Table.from_arrays([*keys, split, *features], schema=schema)


def write_features(rows: FeatureRows) -> int:
    """Writes the file beside the windows and returns how many rows it has; the same rows, the same bytes."""
    schema, count = rows.schema(), 0
    with feature_writer(rows.folder / FEATURES, schema) as writer:
        for block in rows.blocks(schema):
            writer.write_table(block, row_group_size=max(1, block.num_rows))
            count += block.num_rows
    return count


def feature_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """What writes such rows, each table as a row group."""
    texts = [field.name for field in schema if pa.types.is_string(field.type)]
    return pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        compression_level=_ZSTD_LEVEL,
        use_dictionary=texts,
        write_statistics=["start", "end"],
    )


def _pivoted(windows: pa.Table, places: dict[str, int]) -> Any:
    """The values of each feature in the order of the places; shape (features, windows), NaN where absent."""
    found = np.full((len(places), windows.num_rows), np.nan)
    if not windows.num_rows:
        return found
    lists = windows.column(_NAMES).chunk(0)
    names, values = lists.flatten(), windows.column(_VALUES).chunk(0).flatten()
    place_of = np.array([places.get(text, -1) for text in names.dictionary.to_pylist()], np.int64)
    row = np.repeat(np.arange(windows.num_rows), values_of(lists.value_lengths()))
    found[place_of[values_of(names.indices)], row] = values_of(values)
    return found
