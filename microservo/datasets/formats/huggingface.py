"""The layout that Hugging Face loads: a config per table, split by time so that no fault is on both sides.

::

    README.md                       the card: configs, splits, what every column is
    data/<table>/<split>.parquet    train, and test if the run can be cut
    manifest.json                   that of the dataset which this was exported from
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import ceil
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from microservo.datasets.arrays import column_array, values_of
from microservo.datasets.files import TableFile
from microservo.datasets.formats.columns import coded
from microservo.datasets.formats.fault_cases import FaultCases
from microservo.datasets.formats.format import Export
from microservo.datasets.formats.source import Source
from microservo.datasets.tables import TABLES
from microservo.domain.datasets.card import CardFiles, dataset_card
from microservo.domain.datasets.manifest import MANIFEST
from microservo.errors import InvalidInput

TRAIN, TEST = "train", "test"
_TRAIN_SHARE = 0.7
"""Share of the faults that shall be learned from."""
_BY_TIME = {
    **dict.fromkeys(("windows", "window_revisions", "labels", "scores", "graph"), "start"),
    **dict.fromkeys(("metrics", "logs", "traces"), "time"),
    "actions": "decided_at",
    "ledger": "minute",
    "instances": "seen",
}
_BY_FAULT = ("faults", "fault_events", "effects", "effect_intervals")


@dataclass(frozen=True, slots=True)
class _Cut:
    """Where a run is cut in two.

    Attributes:
        at_us: what begins there or later is for the test; microseconds UTC.
        test_faults: ids of the faults that are.
    """

    at_us: int
    test_faults: frozenset[str]

    def is_test(self, name: str, rows: pa.Table) -> NDArray[np.bool_]:
        """Which rows of a table are for the test."""
        if name in _BY_FAULT:
            fault = coded(rows.column("fault_id"))
            return np.array([each in self.test_faults for each in fault.texts], np.bool_)[fault.codes]
        found: NDArray[np.bool_] = values_of(rows.column(_BY_TIME[name])) >= self.at_us
        return found


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
        cut = _cut(source)
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


def _write_table(source: Source, out: Export, name: str, cut: _Cut | None) -> Mapping[str, str]:
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


def _cut(source: Source) -> _Cut | None:
    """The window before the fault that comes behind most of them; None where nothing parts them in two."""
    found = FaultCases.of(source)
    cases, size_us = found.harmful, source.manifest.policy["size_us"]
    wanted = ceil(_TRAIN_SHARE * len(cases))
    places: list[tuple[int, int]] = []
    for place in range(1, len(cases)):
        ended_us = max(case.ended_us for case in cases[:place])
        begins_us = min(int(case.disturbed.from_us[0]) for case in cases[place:])
        at_us = begins_us // size_us * size_us
        if ended_us <= at_us:
            places.append((abs(place - wanted), at_us))
    if not places:
        return None
    at_us = min(places)[1]
    rows = source.table("faults.parquet", "fault_id", "applied_at", "requested_at").to_pylist()
    return _Cut(at_us, frozenset(row["fault_id"] for row in rows if _begin_us(row) >= at_us))


def _begin_us(row: Mapping[str, Any]) -> int:
    return int(row["requested_at"] if row["applied_at"] is None else row["applied_at"])


def _sentence(cut: _Cut | None) -> str:
    if cut is None:
        return (
            "One split, `train`: nothing parts the faults of this run in two. Split by time, not at random."
        )
    return (
        f"`train` is what begins before {cut.at_us} (microseconds UTC), `test` what begins then or later:\n"
        "between two windows, with no fault in force or visible on both sides. Faults and effects are\n"
        "where their fault begins."
    )
