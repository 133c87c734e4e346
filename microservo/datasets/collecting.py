"""Several runs as one dataset: what people load first is over all of them, with the run in a column."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from microservo.datasets.arrays import column_array
from microservo.datasets.experiment import EXPERIMENT
from microservo.datasets.feature_table import FEATURES, KEYS, feature_writer
from microservo.datasets.files import file_hash, write_table
from microservo.datasets.service_table import SCHEMA, SERVICES
from microservo.datasets.tables import FAULTS
from microservo.datasets.verifying import read_manifest
from microservo.domain.datasets.collection import (
    COLLECTION,
    CollectedRun,
    Collection,
    collection_card,
    collection_hash,
)
from microservo.domain.datasets.manifest import FileEntry

_FAULTS = "faults.parquet"
_KEY_COUNT = len(KEYS) + 1


def collect(folder: Path, runs: Sequence[str]) -> Collection:
    """Makes one dataset of those in some folders below `folder`, which are in order of their run ids.

    Raises:
        OSError: a file can't be written.
    """
    collected = tuple(_collected(folder, name) for name in runs)
    entries = [
        _entry(folder / FEATURES, write_features_of_all(folder, runs)),
        write_table(folder / SERVICES, SCHEMA, _tables(folder, runs, SERVICES)),
        write_table(folder / _FAULTS, FAULTS, _tables(folder, runs, _FAULTS)),
    ]
    experiments = [json.loads((folder / name / EXPERIMENT).read_text("utf-8")) for name in runs]
    text = json.dumps({"runs": experiments}, indent=2, ensure_ascii=False) + "\n"
    (folder / EXPERIMENT).write_text(text, "utf-8")
    entries.append(_entry(folder / EXPERIMENT, None))
    collection = Collection(
        runs=collected,
        files=tuple(sorted(entries, key=lambda entry: entry.name)),
        content_hash=collection_hash(collected),
    )
    (folder / "README.md").write_text(collection_card(collection), "utf-8")
    card = _entry(folder / "README.md", None)
    whole = Collection(runs=collected, files=(card, *collection.files), content_hash=collection.content_hash)
    (folder / COLLECTION).write_text(whole.to_json(), "utf-8")
    return whole


def write_features_of_all(folder: Path, runs: Sequence[str]) -> int:
    """Writes the features of all runs, with every column that any of them has; returns the rows."""
    schemas = [pq.read_schema(folder / name / FEATURES) for name in runs]
    names = sorted({name for schema in schemas for name in schema.names[_KEY_COUNT:]})
    fields = [pa.field(name, pa.float64(), nullable=False) for name in names]
    schema = pa.schema([*(schemas[0].field(place) for place in range(_KEY_COUNT)), *fields])
    count = 0
    with feature_writer(folder / FEATURES, schema) as writer:
        for block in _feature_blocks(folder, runs, schema):
            writer.write_table(block, row_group_size=max(1, block.num_rows))
            count += block.num_rows
    return count


def _feature_blocks(folder: Path, runs: Sequence[str], schema: pa.Schema) -> Iterator[pa.Table]:
    for name in runs:
        with pq.ParquetFile(folder / name / FEATURES) as file:
            own = set(file.schema_arrow.names)
            for number in range(file.metadata.num_row_groups):
                rows = file.read_row_group(number)
                absent = column_array(np.full(rows.num_rows, np.nan))
                columns = [rows.column(each) if each in own else absent for each in schema.names]
                yield pa.Table.from_arrays(columns, schema=schema)


def _tables(folder: Path, runs: Sequence[str], name: str) -> Iterator[pa.Table]:
    for run in runs:
        with pq.ParquetFile(folder / run / name) as file:
            yield file.read()


def _collected(folder: Path, name: str) -> CollectedRun:
    manifest = read_manifest(folder / name)
    return CollectedRun(run_id=manifest.run.run_id, folder=name, content_hash=manifest.content_hash)


def _entry(path: Path, rows: int | None) -> FileEntry:
    size_bytes, sha256 = file_hash(path)
    return FileEntry(name=path.name, size_bytes=size_bytes, sha256=sha256, rows=rows)
