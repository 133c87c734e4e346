"""What people load first: it says what the tables say, in every reader, and follows from them to the byte."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import datasets
import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_dataset import FAULTS, START_US, Made, S, write_dataset

from microservo.datasets import content_hash, read_manifest, verify
from microservo.datasets.derived import DERIVED, with_derived_files
from microservo.datasets.feature_table import KEYS
from microservo.datasets.files import file_hash, write_table
from microservo.datasets.tables import LABELS, WINDOWS
from microservo.domain.datasets.card import dataset_card
from microservo.domain.datasets.manifest import MANIFEST, Manifest
from schemas.records import RunLoad

CUT_US = START_US + 225 * S
"""The window before the delay, which is in force from 229.9 s on."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made-up dataset with what is derived and the card; not to be changed."""
    folder = tmp_path_factory.mktemp("derived") / "dataset"
    finish(folder, write_dataset(folder))
    return folder


def finish(folder: Path, manifest: Manifest) -> Manifest:
    whole = with_derived_files(folder, manifest)
    (folder / MANIFEST).write_text(whole.to_json())
    (folder / "README.md").write_text(dataset_card(whole))
    return whole


def test_a_row_is_a_window_and_a_column_a_feature(original: Path) -> None:
    windows = pq.read_table(original / "windows.parquet").to_pylist()
    rows = pq.read_table(original / "features.parquet")
    names = rows.column_names[len(KEYS) + 1 :]
    assert names == sorted({name for window in windows for name in window["feature_names"]})
    assert {str(rows.schema.field(name).type) for name in names} == {"double"}
    for window, row in zip(windows, rows.to_pylist(), strict=True):
        assert {name: row[name] for name in KEYS} == {name: window[column] for name, column in KEYS.items()}
        own = dict(zip(window["feature_names"], window["feature_values"], strict=True))
        for name in names:
            assert repr(row[name]) == repr(own.get(name, math.nan))


def test_every_reader_loads_features_and_services_without_a_trick(original: Path, tmp_path: Path) -> None:
    for name in ("features", "services"):
        path = original / f"{name}.parquet"
        columns, count = pq.read_schema(path).names, pq.read_metadata(path).num_rows
        assert list(pd.read_parquet(path).columns) == columns
        assert pl.scan_parquet(path).collect().shape == (count, len(columns))
        assert duckdb.sql(f"select * from '{path}'").columns == columns  # noqa: S608
        loaded = datasets.load_dataset(str(original), name, split="train", cache_dir=str(tmp_path))
        assert (loaded.num_rows, loaded.column_names) == (count, columns)


def test_services_say_what_is_known_of_each(original: Path) -> None:
    windows = pq.read_table(original / "windows.parquet").to_pylist()
    graph = pq.read_table(original / "graph.parquet").to_pylist()
    services = pq.read_table(original / "services.parquet").to_pylist()
    assert [row["service"] for row in services] == sorted({row["service"] for row in windows})
    for row in services:
        own = [each for each in windows if each["service"] == row["service"]]
        assert (row["windows"], row["from"], row["until"]) == (
            *(len(own), min(each["start"] for each in own)),
            max(each["end"] for each in own),
        )
        for truth in ("anomalous", "masked", "normal"):
            assert row[truth] == sum(each["truth"] == truth for each in own)
        assert row["callees"] == sorted({e["callee"] for e in graph if e["caller"] == row["service"]})
        assert row["callers"] == sorted({e["caller"] for e in graph if e["callee"] == row["service"]})
    effects = pq.read_table(original / "effects.parquet").to_pylist()
    for count, role in (("root_cause_of", "root_cause"), ("affected_by", "affected")):
        counted = {row["service"]: row[count] for row in services if row[count]}
        struck = [each["service"] for each in effects if each["role"] == role]
        assert counted == {service: struck.count(service) for service in struck}


def test_the_experiment_says_what_is_known_and_null_for_what_is_not(original: Path, tmp_path: Path) -> None:
    found = json.loads((original / "experiment.json").read_text("utf-8"))
    assert (found["run_id"], found["seed"], found["target"]) == ("run-1", 7, "made-up")
    assert (found["machines"], found["load"], found["topology_sha256"]) == (None, None, None)
    parameters = {each["fault_id"]: each["parameters"] for each in found["faults"]}
    assert {"latency_us": "300000", "jitter_us": "0"} in parameters.values()
    manifest = write_dataset(tmp_path / "d")
    load = RunLoad(journeys_per_s=2.0, seed=3, amplitude=0.0, period_s=0.0, noise=0.0, noise_s=0.0)
    finish(tmp_path / "d", replace(manifest, run=replace(manifest.run, loads=(load,))))
    assert json.loads((tmp_path / "d" / "experiment.json").read_text())["load"][0]["journeys_per_s"] == 2.0


def test_no_fault_is_on_both_sides_of_the_split(made: Path) -> None:
    rows = pq.read_table(made / "features.parquet").to_pylist()
    starts = {
        split: [row["start"].timestamp() * S for row in rows if row["split"] == split]
        for split in ("train", "test")
    }
    assert max(starts["train"]) < CUT_US == min(starts["test"])
    assert read_manifest(made).test_from_us == CUT_US
    assert f"`train` before {CUT_US}" in (made / "README.md").read_text()


def test_a_window_that_a_fault_of_the_other_side_touches_is_on_no_side(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    manifest = write_dataset(folder)
    label = {
        **{
            "run_id": "made-run",
            "service": "carts-db",
            "start": CUT_US,
            "end": CUT_US + 5 * S,
            "revision": 0,
        },
        **{"final": True, "fault_id": "f-cpu", "fault_kind": "cpu-hog", "root_service": "cart_service"},
        **{"relation": "caller", "hops": 1, "phase": "after_effect", "overlap": 1.0, "severity": 0.5},
        **{"finding": "visible", "role": "affected", "instances": [], "shared_with": []},
    }
    write_table(folder / "labels.parquet", LABELS, [pa.Table.from_pylist([label], schema=LABELS)])
    finish(folder, manifest)
    rows = pq.read_table(folder / "features.parquet").to_pylist()
    (row,) = [each for each in rows if each["split"] is None]
    assert (row["service"], row["start"].timestamp() * S) == ("carts-db", CUT_US)


def test_what_can_not_be_cut_is_all_for_training_and_the_card_says_so(tmp_path: Path) -> None:
    manifest = finish(tmp_path / "d", write_dataset(tmp_path / "d", Made(faults=FAULTS[:2])))
    assert manifest.test_from_us is None
    assert set(pq.read_table(tmp_path / "d" / "features.parquet")["split"].to_pylist()) == {"train"}
    assert "the number is no result" in (tmp_path / "d" / "README.md").read_text()


def test_the_content_hash_is_that_of_the_tables_alone(dataset: Path) -> None:
    before = content_hash(dataset)
    for name in DERIVED:
        (dataset / name).unlink()
    assert content_hash(dataset) == before == read_manifest(dataset).content_hash


def test_a_changed_value_is_noticed_even_if_the_manifest_covers_it_up(dataset: Path) -> None:
    rows = pq.read_table(dataset / "features.parquet")
    name = rows.column_names[-1]
    changed = pa.array([1e9] * rows.num_rows)
    pq.write_table(rows.set_column(rows.num_columns - 1, rows.schema.field(name), changed), dataset / "x")
    (dataset / "x").rename(dataset / "features.parquet")
    text = (dataset / "experiment.json").read_text().replace('"seed": 7', '"seed": 8')
    (dataset / "experiment.json").write_text(text)
    manifest = read_manifest(dataset)
    entries = []
    for entry in manifest.files:
        size_bytes, sha256 = file_hash(dataset / entry.name)
        entries.append(replace(entry, size_bytes=size_bytes, sha256=sha256))
    (dataset / MANIFEST).write_text(replace(manifest, files=tuple(entries)).to_json())
    assert verify(dataset) == [
        "features.parquet: does not follow from the tables",
        "experiment.json: does not follow from the tables",
    ]


@pytest.mark.parametrize("name", DERIVED)
def test_a_file_cut_short_is_one_line(dataset: Path, name: str) -> None:
    (dataset / name).write_bytes((dataset / name).read_bytes()[:-9])
    (problem,) = verify(dataset)
    assert problem.startswith(f"{name}: ")


def test_the_cards_program_runs_as_written_in_at_most_fifteen_lines(made: Path, tmp_path: Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", (made / "README.md").read_text(), re.DOTALL)
    assert len([line for line in program.splitlines() if line]) <= 15
    # A process of its own, in the folder of the dataset, as a person would run it.
    shown = subprocess.run(
        [sys.executable, "-c", program], cwd=made, capture_output=True, text=True, check=True
    ).stdout
    assert 0.0 <= float(shown) <= 1.0


def test_the_cards_program_finds_a_fault_that_is_plain_to_see(tmp_path: Path) -> None:
    """A forest that did not learn, or scores with the wrong sign, would come out near the share of faults."""
    folder = tmp_path / "d"
    manifest = write_dataset(folder)
    windows = pq.read_table(folder / "windows.parquet").to_pylist()
    for row in windows:
        if row["truth"] == "anomalous":
            slow = {name: 500.0 if "p90" in name else 20.0 for name in row["feature_names"]}
            row["feature_values"] = list(slow.values())
    write_table(folder / "windows.parquet", WINDOWS, [pa.Table.from_pylist(windows, schema=WINDOWS)])
    finish(folder, manifest)
    (program,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    shown = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=True
    ).stdout
    share = sum(row["truth"] == "anomalous" for row in windows) / len(windows)
    assert float(shown) > 0.6 > 5 * share
