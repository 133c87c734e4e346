"""Every table in the readers that people use: all of it, and none stumbles over a type."""

from __future__ import annotations

import re
from pathlib import Path

import datasets
import duckdb
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest

from microservo.datasets.tables import TABLES

NAMES = sorted(name.removesuffix(".parquet") for name in TABLES)
WITHOUT_ROWS = {"instances"}


def rows_of(path: Path) -> int:
    return int(pq.read_metadata(path).num_rows)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


@pytest.mark.parametrize("name", NAMES)
def test_pandas_reads_a_table_and_writes_it_again(original: Path, tmp_path: Path, name: str) -> None:
    frame = pd.read_parquet(original / f"{name}.parquet")
    frame.to_parquet(tmp_path / "again.parquet")
    again = pd.read_parquet(tmp_path / "again.parquet")
    assert len(frame) == len(again) == rows_of(original / f"{name}.parquet")
    assert list(frame.columns) == list(again.columns) == TABLES[f"{name}.parquet"].names


@pytest.mark.parametrize("name", NAMES)
def test_polars_reads_and_scans_a_table(original: Path, name: str) -> None:
    path = original / f"{name}.parquet"
    frame = pl.read_parquet(path)
    assert frame.height == pl.scan_parquet(path).select(pl.len()).collect().item() == rows_of(path)
    assert frame.columns == TABLES[path.name].names
    if "service" in frame.columns:
        some = pl.scan_parquet(path).filter(pl.col("service").cast(pl.String) == "cart").collect()
        assert some.height == (frame["service"].cast(pl.String) == "cart").sum()


@pytest.mark.parametrize("name", NAMES)
def test_duckdb_reads_a_table(original: Path, name: str) -> None:
    path = original / f"{name}.parquet"
    rows = duckdb.sql(f"select * from '{path}'")  # noqa: S608
    assert rows.columns == TABLES[path.name].names
    assert len(rows.fetchall()) == rows_of(path)


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("name", [name for name in NAMES if name not in WITHOUT_ROWS])
def test_hugging_face_loads_every_config_of_the_card(original: Path, tmp_path: Path, name: str) -> None:
    loaded = datasets.load_dataset(str(original), name, split="train", cache_dir=str(tmp_path))
    assert loaded.num_rows == rows_of(original / f"{name}.parquet")
    assert loaded.column_names == TABLES[f"{name}.parquet"].names


@pytest.mark.usefixtures("offline")
def test_features_are_what_hugging_face_loads_if_nothing_is_said(original: Path, tmp_path: Path) -> None:
    loaded = datasets.load_dataset(str(original), split="train", cache_dir=str(tmp_path))
    assert loaded.column_names == pq.read_schema(original / "features.parquet").names


def test_features_explode_to_a_row_each_in_every_reader(original: Path) -> None:
    path = original / "windows.parquet"
    expected = sum(map(len, pq.read_table(path, columns=["feature_names"]).column(0).to_pylist()))
    columns = ["feature_names", "feature_values"]
    assert pl.read_parquet(path).explode(columns).height == expected
    assert len(pd.read_parquet(path).explode(columns)) == expected
    unnested = duckdb.sql(
        f"select unnest(feature_names) as name, unnest(feature_values) as value from '{path}'"  # noqa: S608
    )
    assert len(unnested.fetchall()) == expected


def test_spans_can_be_joined_to_their_parents(original: Path) -> None:
    path = original / "traces.parquet"
    joined = duckdb.sql(
        f"select count(*) from '{path}' a join '{path}' b"  # noqa: S608
        " on a.parent_id = b.span_id and a.trace_id = b.trace_id"
    )
    # No span of the made-up run has a parent: zeros would have matched one another.
    assert joined.fetchall() == [(0,)]


EXAMPLES = re.findall(
    r"^## (.*)\n(?:(?!^## ).*\n)*?<!-- run -->\n```python\n((?:.*\n)*?)```",
    (Path(__file__).parents[3] / "docs" / "datasets.md").read_text("utf-8"),
    re.MULTILINE,
)


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(("title", "program"), EXAMPLES, ids=[title for title, _ in EXAMPLES])
def test_the_examples_of_the_document_run(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, title: str, program: str
) -> None:
    (tmp_path / "dataset").symlink_to(original)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    printed: list[object] = []
    exec(program, {"print": lambda *shown: printed.extend(shown)})  # noqa: S102
    assert [len(str(each)) > 0 for each in printed], title


def test_the_document_has_an_example_for_each_reader() -> None:
    assert [title for title, _ in EXAMPLES] == [*("MicroServo", "pandas", "polars", "DuckDB", "Hugging Face")]
