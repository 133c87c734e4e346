"""What a comparison with a twin found, beside the tables of the run that it was made for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from microservo.datasets.arrays import array_of
from microservo.datasets.draft import writing
from microservo.datasets.files import file_hash
from microservo.datasets.tables import TIME
from microservo.datasets.verifying import read_manifest
from microservo.domain.datasets.manifest import MANIFEST, FileEntry
from microservo.domain.twin import TwinRow

TWIN = "twin.parquet"

_SCHEMA = pa.schema(
    [
        pa.field("fault_id", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("root_service", pa.string(), nullable=False),
        pa.field("service", pa.string(), nullable=False),
        pa.field("applied_at", TIME, nullable=False),
        pa.field("recovered_at", TIME, nullable=False),
        pa.field("first_deviating_at", TIME),
        pa.field("what", pa.string(), nullable=False),
        pa.field("records", pa.int64(), nullable=False),
        pa.field("deviating", pa.int64(), nullable=False),
        pa.field("effect_seen_at", TIME),
        pa.field("effect_is_shared", pa.bool_(), nullable=False),
        pa.field("twin_run_id", pa.string(), nullable=False),
    ]
)


def add_twin(folder: Path, twin_run_id: str, rows: Sequence[TwinRow]) -> None:
    """Puts `twin.parquet` into a dataset and its manifest.

    It is no table of the run: another twin gives another one, and the content hash is that of the run alone.

    Raises:
        InvalidInput: the folder holds no dataset.
        Unavailable: it can't be written to.
    """
    manifest = read_manifest(folder)
    columns = [[getattr(row.effect, name) for row in rows] for name in _FIELDS]
    columns += [
        [row.effect_seen_at_us for row in rows],
        [row.is_shared for row in rows],
        [twin_run_id] * len(rows),
    ]
    arrays = [array_of(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)]
    with writing(folder):
        pq.write_table(pa.Table.from_arrays(arrays, schema=_SCHEMA), folder / TWIN)
        size_bytes, sha256 = file_hash(folder / TWIN)
        entry = FileEntry(name=TWIN, size_bytes=size_bytes, sha256=sha256)
        (folder / MANIFEST).write_text(manifest.with_files(entry).to_json(), "utf-8")


_FIELDS = (
    "fault_id",
    "kind",
    "root_service",
    "service",
    "applied_us",
    "recovered_us",
    "first_us",
    "what",
    "pairs",
    "deviating",
)
