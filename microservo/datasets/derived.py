"""What people load first, made of the other tables of a dataset: features, services, the experiment.

The content hash is over what these are made of. `verify` makes them once more and compares.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from microservo.datasets.canonical import canonical, parts
from microservo.datasets.experiment import EXPERIMENT, experiment_text
from microservo.datasets.feature_table import FEATURES, FeatureRows, write_features
from microservo.datasets.files import file_hash, table_content, write_table
from microservo.datasets.formats.cut import cut_between_faults
from microservo.datasets.formats.reading import Tables
from microservo.datasets.service_table import SCHEMA, SERVICES, services_table
from microservo.domain.datasets.content import ContentHash
from microservo.domain.datasets.manifest import FileEntry, Manifest

DERIVED = (FEATURES, SERVICES, EXPERIMENT)


def with_derived_files(folder: Path, manifest: Manifest) -> Manifest:
    """Writes them into the folder of the tables, and returns the manifest with them and with the split.

    Raises:
        OSError: they can't be written.
    """
    tables = Tables(folder)
    cut = cut_between_faults(tables, manifest.policy["size_us"])
    manifest = replace(manifest, test_from_us=None if cut is None else cut.at_us)
    rows = {
        FEATURES: write_features(FeatureRows(folder, cut)),
        SERVICES: write_table(folder / SERVICES, SCHEMA, [services_table(tables)]).rows,
        EXPERIMENT: None,
    }
    (folder / EXPERIMENT).write_text(experiment_text(folder, manifest), "utf-8")
    return manifest.with_files(*(_entry(folder / name, rows[name]) for name in DERIVED))


def derived_problems(folder: Path, manifest: Manifest) -> list[str]:
    """What of them does not follow from the tables, one sentence each; the tables must be sound.

    Raises:
        OSError: one can't be read.
        pyarrow.ArrowException: one is no Parquet.
    """
    tables = Tables(folder)
    cut = cut_between_faults(tables, manifest.policy["size_us"])
    rows = FeatureRows(folder, cut)
    schema = rows.schema()
    made = {
        FEATURES: (schema, rows.blocks(schema)),
        SERVICES: (SCHEMA, iter([services_table(tables)])),
    }
    wrong = [
        name
        for name, (kind, blocks) in made.items()
        if _content(blocks) != table_content(folder / name, kind).hexdigest()
    ]
    if experiment_text(folder, manifest) != (folder / EXPERIMENT).read_text("utf-8"):
        wrong.append(EXPERIMENT)
    problems = [f"{name}: does not follow from the tables" for name in wrong]
    if manifest.test_from_us != (None if cut is None else cut.at_us):
        problems.append(f"the test split begins at {manifest.test_from_us}, which the faults don't say")
    return problems


def _entry(path: Path, rows: int | None) -> FileEntry:
    size_bytes, sha256 = file_hash(path)
    return FileEntry(name=path.name, size_bytes=size_bytes, sha256=sha256, rows=rows)


def _content(blocks: Iterable[pa.Table]) -> str:
    content = ContentHash()
    for block in filter(len, blocks):
        content.add_block(block.num_rows, parts(canonical(block)))
    return content.hexdigest()
