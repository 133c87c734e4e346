"""A dataset as programs read it: lazily, as Arrow, pandas and polars; split without a shared fault."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from made_dataset import FAULTS, START_US, Made, S, at, write_dataset

from microservo import Dataset
from microservo.datasets.derived import with_derived_files
from microservo.domain.datasets.manifest import MANIFEST
from microservo.errors import InvalidInput

CUT_US = START_US + 225 * S
"""The window before the delay, which is in force from 229.9 s on."""


def written(folder: Path, made: Made | None = None) -> Path:
    manifest = with_derived_files(folder, write_dataset(folder, made))
    (folder / MANIFEST).write_text(manifest.to_json())
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made-up dataset; not to be changed."""
    return written(tmp_path_factory.mktemp("read") / "Ünser 'Satz'")


def starts(rows: object) -> list[int]:
    return pa.table(rows).column("start").cast("int64").to_pylist()  # type: ignore[no-any-return]


def test_every_table_is_read_whole_in_every_form(folder: Path) -> None:
    dataset = Dataset(folder)
    for rows, name in (
        (dataset.windows(), "features"),
        (dataset.services(), "services"),
        (dataset.faults(), "faults"),
        (dataset.logs(), "logs"),
        (dataset.metrics(), "metrics"),
        (dataset.spans(), "traces"),
        (dataset.table("effects"), "effects"),
    ):
        whole = pq.read_table(folder / f"{name}.parquet")
        assert len(rows) == whole.num_rows > 0
        assert rows.to_arrow().column_names == rows.schema.names == whole.column_names
        assert repr(rows.to_arrow().to_pylist()) == repr(whole.to_pylist())
        assert isinstance(rows.to_pandas(), pd.DataFrame)
        assert rows.to_polars().shape == rows.to_pandas().shape == whole.shape


def test_arrow_takes_rows_as_they_are_and_so_do_polars_and_duckdb(folder: Path) -> None:
    rows = Dataset(folder).windows().select("service", "truth")
    assert pa.table(rows).num_rows == pl.DataFrame(rows).height == len(rows)
    assert duckdb.from_arrow(rows.reader()).shape == (len(rows), 2)


def test_of_one_service_and_metric_nothing_else_comes(folder: Path) -> None:
    dataset = Dataset(folder)
    for rows, name in ((dataset.logs, "logs"), (dataset.spans, "traces"), (dataset.windows, "features")):
        found = rows(service="carts-db").to_arrow()
        services = pq.read_table(folder / f"{name}.parquet").column("service").to_pylist()
        assert set(found.column("service").to_pylist()) == {"carts-db"}
        assert found.num_rows == services.count("carts-db") == len(rows(service="carts-db"))
    points = dataset.metrics(service="carts-db", name="process.memory.usage").to_arrow()
    assert set(points.column("name").to_pylist()) == {"process.memory.usage"}
    assert points.num_rows == 2 * Made().seconds
    errors = dataset.logs(service="carts-db").where(ds.field("severity") >= 17).select("severity", "body")
    assert errors.to_arrow().column_names == ["severity", "body"]
    assert set(errors.to_arrow().column("severity").to_pylist()) == {17}
    assert len(dataset.logs(service="nobody")) == 0


def test_features_are_the_columns_that_are_no_keys(folder: Path) -> None:
    dataset = Dataset(folder)
    assert dataset.features == tuple(sorted(dataset.features))
    assert all("/" in name for name in dataset.features)
    assert "request/*/p90_ms" in dataset.features


def test_a_split_shares_no_fault_and_leaves_out_what_it_was_told_to(folder: Path) -> None:
    dataset = Dataset(folder)
    plain = dataset.split("by-fault")
    assert max(starts(plain.train)) < CUT_US == min(starts(plain.test))
    assert len(plain.train) + len(plain.test) == len(dataset.windows())

    def is_left_out(start_us: int) -> bool:
        left_out = [(START_US, START_US + 20 * S), (CUT_US, CUT_US + 20 * S)]
        left_out += [(at(end), at(end) + 10 * S) for end in (201.9, 250.5)]
        return any(start_us < until and start_us + 5 * S > begin for begin, until in left_out)

    split = dataset.split(warmup=20, cooldown=10)
    for rows, all_of_them in ((split.train, plain.train), (split.test, plain.test)):
        # An end of an effect is exact to the microsecond behind it.
        assert starts(rows) == [each for each in starts(all_of_them) if not is_left_out(each)]
        assert len(rows) == len(starts(rows)) > 0
        assert rows.to_arrow().column_names == dataset.windows().schema.names
    sides = [set(each.select("fault_id").to_arrow().column(0).to_pylist()) - {None} for each in split]
    assert not sides[0] & sides[1]


def test_on_a_rebuilt_run_no_fault_is_on_both_sides(original: Path) -> None:
    assert Dataset(original).manifest.test_from_us is not None
    labels = pq.read_table(original / "labels.parquet").to_pylist()
    faults: list[set[str]] = []
    for rows in Dataset(original).split():
        windows = {(row["start"], row["service"]) for row in rows.to_arrow().to_pylist()}
        faults.append(
            {
                each["fault_id"]
                for each in labels
                if each["final"] and (each["start"], each["service"]) in windows
            }
        )
    assert not faults[0] & faults[1]


def test_what_is_wrong_is_one_clear_line(folder: Path, tmp_path: Path) -> None:
    dataset = Dataset(folder)
    for wrong, words in (
        (lambda: Dataset(tmp_path), "is no dataset"),
        (lambda: dataset.table("nothing"), "has no table 'nothing'; it has "),
        (lambda: dataset.split("by-luck"), "no split is called 'by-luck'"),
        (lambda: dataset.split(warmup=-1), "must be seconds, 0 or more"),
        (lambda: dataset.split(cooldown=float("nan")), "must be seconds, 0 or more"),
        (lambda: dataset.logs().select("nothing").to_arrow(), "logs.parquet has no column 'nothing'"),
    ):
        with pytest.raises(InvalidInput, match=words) as caught:
            wrong()
        assert "\n" not in str(caught.value)
    whole = written(tmp_path / "one", Made(faults=FAULTS[:2]))
    with pytest.raises(InvalidInput, match="no instant parts the faults"):
        Dataset(whole).split()


def test_a_file_that_is_cut_short_or_gone_is_one_clear_line(tmp_path: Path) -> None:
    folder = written(tmp_path / "d")
    (folder / "logs.parquet").write_bytes((folder / "logs.parquet").read_bytes()[:1000])
    (folder / "features.parquet").unlink()
    data = bytearray((folder / "traces.parquet").read_bytes())
    data[100:5000] = b"\0" * 4900
    (folder / "traces.parquet").write_bytes(data)
    dataset = Dataset(folder)
    for rows in (dataset.logs(), dataset.windows(), dataset.spans()):
        with pytest.raises(
            InvalidInput, match=r"can't be read: .*; rebuild the dataset from the log"
        ) as caught:
            rows.to_arrow()
        assert "\n" not in str(caught.value)
