"""The layout of Hugging Face: its library loads every table, and no fault is on both sides of the cut."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from made_dataset import FAULTS, START_US, Made, S, write_dataset

from microservo.datasets import export
from microservo.datasets.tables import TABLES
from microservo.domain.datasets.formats import Exported

Exports = Callable[[str], tuple[Path, Exported]]
CUT_US = START_US + 225 * S
"""The window before the delay, which is in force from 229.9 s on."""


@pytest.fixture
def folder(exported: Exports) -> Path:
    return exported("huggingface")[0]


def test_hugging_faces_library_loads_every_table_with_its_splits(
    folder: Path, made: Path, tmp_path: Path
) -> None:
    from datasets import get_dataset_config_names, load_dataset  # noqa: PLC0415

    names = get_dataset_config_names(str(folder))
    tables = {name: pq.read_table(made / name) for name in TABLES}
    assert {f"{name}.parquet" for name in names} == {name for name, table in tables.items() if table.num_rows}
    for name in names:
        loaded = load_dataset(str(folder), name, cache_dir=str(tmp_path))
        rows = sum(split.num_rows for split in loaded.values())
        assert rows == tables[f"{name}.parquet"].num_rows, name
    windows = load_dataset(str(folder), cache_dir=str(tmp_path))
    assert {split: loaded.num_rows for split, loaded in windows.items()} == {"train": 225, "test": 75}


def test_the_cut_is_between_windows_and_between_faults(folder: Path) -> None:
    for split, is_right in (("train", lambda us: us < CUT_US), ("test", lambda us: us >= CUT_US)):
        windows = pq.read_table(folder / "data" / "windows" / f"{split}.parquet")
        starts = windows.column("start").cast("int64").to_pylist()
        assert starts
        assert all(map(is_right, starts))
    faults = {
        split: set(pq.read_table(folder / "data" / "faults" / f"{split}.parquet")["fault_id"].to_pylist())
        for split in ("train", "test")
    }
    assert faults == {"train": {"f-refused", "f-noop", "f-cpu"}, "test": {"f-delay"}}


def test_rows_and_columns_are_those_of_the_dataset(folder: Path, made: Path) -> None:
    for name in ("windows", "logs", "effects"):
        parts = [pq.read_table(folder / "data" / name / f"{split}.parquet") for split in ("train", "test")]
        whole = pq.read_table(made / f"{name}.parquet")
        assert parts[0].schema.names == whole.schema.names
        # NaN is like nothing, itself included.
        assert [repr(row) for part in parts for row in part.to_pylist()] == [
            repr(row) for row in whole.to_pylist()
        ]


def test_the_card_says_where_the_cut_is(folder: Path) -> None:
    card = (folder / "README.md").read_text()
    assert f"`train` is what begins before {CUT_US} (microseconds UTC)" in card
    assert "report.html" not in card
    assert "      - split: test\n        path: data/windows/test.parquet\n" in card


def test_a_run_that_nothing_parts_has_one_split(tmp_path: Path) -> None:
    write_dataset(tmp_path / "dataset", Made(faults=FAULTS[:2]))
    found = export(
        tmp_path / "dataset", format_name="huggingface", out_dir=tmp_path / "out", progress=lambda *_: None
    )
    assert not [name for name in found.files if "test" in name]
    assert any("A test split" in each for each in found.losses)
