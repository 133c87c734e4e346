"""The layout that Hugging Face loads: a config per table, split by time so that no fault is on both sides.

::

    README.md                       the card: configs, splits, what every column is
    data/<table>/<split>.parquet    train, and test if the run can be cut
    manifest.json                   that of the dataset which this was exported from
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import ClassVar

import numpy as np
import pyarrow as pa

from microservo.datasets.arrays import column_array
from microservo.datasets.files import TableFile
from microservo.datasets.formats.cut import TEST, TRAIN, Cut, cut_between_faults
from microservo.datasets.formats.format import Export
from microservo.datasets.formats.source import Source
from microservo.datasets.tables import TABLES
from microservo.domain.datasets.card import CardFiles, dataset_card
from microservo.domain.datasets.manifest import MANIFEST
from microservo.errors import InvalidInput


class HuggingFace:
    """Hugging Face."""

    name: ClassVar[str] = "huggingface"
    losses: ClassVar[Sequence[str]] = (
        "report.html, and the check of the dataset by its manifest: what is exported has other files.",
        "Traces that go on over the cut: their spans are parted by when each ended.",
        "A license: it is for whoever publishes the run to choose one.",
    )

    def export(self, source: Source, out: Export) -> None:
        """Every table with rows, and the card."""
        if not source.rows("windows.parquet"):
            msg = f"run {source.manifest.run.run_id} holds no window, and those are what the card shows first"
            raise InvalidInput(msg)
        cut = cut_between_faults(source, source.manifest.policy["size_us"])
        if cut is None:
            out.lost("A test split: there is no instant that parts the faults of this run in two.")
        paths = {}
        for done, file in enumerate(TABLES, start=1):
            name = file.removesuffix(".parquet")
            if source.rows(file):
                paths[name] = _write_table(source, out, name, cut)
            out.progress(done, len(TABLES))
        files = CardFiles(paths=paths, splits=_sentence(cut), has_report=False)
        out.text("README.md", dataset_card(source.manifest, files))
        out.text(MANIFEST, source.manifest.to_json())


FORMAT = HuggingFace()


def _write_table(source: Source, out: Export, name: str, cut: Cut | None) -> Mapping[str, str]:
    """Writes the splits that have rows, and returns their files."""
    file, schema = f"{name}.parquet", TABLES[f"{name}.parquet"]
    written: dict[str, TableFile] = {}
    with ExitStack() as stack:
        for block in source.blocks(file, *schema.names):
            is_test = np.zeros(block.num_rows, np.bool_) if cut is None else cut.is_test(name, block)
            for split, kept in ((TRAIN, ~is_test), (TEST, is_test)):
                if not kept.any():
                    continue
                if split not in written:
                    path = out.path(f"data/{name}/{split}.parquet")
                    written[split] = stack.enter_context(TableFile(path, schema))
                rows = block.filter(column_array(kept, pa.bool_())).cast(schema)
                written[split].append(rows)
        for table in written.values():
            table.close()
    return {split: f"data/{name}/{split}.parquet" for split in (TRAIN, TEST) if split in written}


def _sentence(cut: Cut | None) -> str:
    if cut is None:
        return (
            "One split, `train`: nothing parts the faults of this run in two. Split by time, not at random."
        )
    return (
        f"`train` is what begins before {cut.at_us} (microseconds UTC), `test` what begins then or later:\n"
        "between two windows, with no fault in force or visible on both sides. Faults and effects are\n"
        "where their fault begins."
    )
