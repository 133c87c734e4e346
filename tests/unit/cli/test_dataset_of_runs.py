"""Several runs as one dataset: each whole, and all of them in tables with a column for the run."""

from __future__ import annotations

import json
import math
import tarfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import datasets
import pyarrow.parquet as pq
import pytest
import zstandard
from click.testing import Result
from recorded_run import record_run
from synthetic import START_US, Story

from microservo import Dataset
from microservo.datasets import rebuild, verify
from microservo.datasets.contents import hash_of, problems_of
from microservo.errors import InvalidInput
from microservo.testing import MemoryBroker

Run = Callable[..., Result]
S = 1_000_000
FIRST = Story(run_id="run-1", seconds=60)
SECOND = Story(run_id="run-2", seconds=40, seed=8, start_us=START_US + 600 * S)


@pytest.fixture(scope="module")
def recorded_broker() -> MemoryBroker:
    broker = MemoryBroker()
    for story in (FIRST, SECOND):
        record_run(broker, story)
    return broker


@pytest.fixture
def broker(recorded_broker: MemoryBroker) -> MemoryBroker:
    return recorded_broker


@pytest.fixture
def folder(run: Run, tmp_path: Path) -> Path:
    """A folder of datasets with one of both runs, `both`."""
    both = ("--run", "run-2", "--run", "run-1")
    result = run("dataset", "build", "both", *both, "--in", str(tmp_path / "data"))
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == hash_of(tmp_path / "data" / "both")
    return tmp_path / "data"


def test_each_run_is_the_dataset_that_a_rebuild_makes(
    broker: MemoryBroker, run: Run, folder: Path, tmp_path: Path
) -> None:
    for number, story in enumerate((FIRST, SECOND), start=1):
        rebuild(broker, run_id=story.run_id, out_dir=tmp_path / story.run_id)
        own = folder / "both" / "runs" / f"{number:04d}"
        for path in (tmp_path / story.run_id).iterdir():
            assert (own / path.name).read_bytes() == path.read_bytes(), path.name
        assert verify(own) == []
    assert problems_of(folder / "both") == []
    assert run("dataset", "verify", str(folder / "both"), "--against-live").exit_code == 0


def test_all_runs_are_read_as_one_with_the_run_in_a_column(folder: Path) -> None:
    dataset = Dataset(folder / "both")
    assert list(dataset.manifests) == ["run-1", "run-2"]
    parts = [Dataset(folder / "both" / "runs" / name) for name in ("0001", "0002")]
    for name in ("windows", "services", "faults", "logs", "metrics", "spans"):
        found = getattr(dataset, name)().to_arrow()
        runs = found.column("run_id").to_pylist()
        counts = [len(getattr(part, name)()) for part in parts]
        assert runs == ["run-1"] * counts[0] + ["run-2"] * counts[1], name
    assert dataset.features == tuple(sorted({*parts[0].features, *parts[1].features}))
    rows = dataset.windows().to_arrow().to_pylist()
    for part, own in zip(
        parts, (rows[: len(parts[0].windows())], rows[len(parts[0].windows()) :]), strict=True
    ):
        for row, expected in zip(own, part.windows().to_arrow().to_pylist(), strict=True):
            whole = dict.fromkeys(dataset.features, math.nan) | expected
            assert {name: repr(row[name]) for name in row} == {name: repr(whole[name]) for name in row}
    lines = dataset.logs(service="cart").to_arrow()
    assert lines.num_rows == sum(len(part.logs(service="cart")) for part in parts)
    with pytest.raises(InvalidInput, match="holds 2 runs; `manifests` has"):
        dataset.manifest  # noqa: B018


def test_hugging_face_loads_the_tables_of_all_runs(folder: Path, tmp_path: Path) -> None:
    loaded = datasets.load_dataset(str(folder / "both"), split="train", cache_dir=str(tmp_path / "cache"))
    assert set(loaded["run_id"]) == {"run-1", "run-2"}


def test_it_is_listed_shown_tagged_packed_and_deleted_like_any_other(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    (entry,) = map(json.loads, run("dataset", "list", "--in", str(folder), "--json").stdout.splitlines())
    assert (entry["state"], entry["run_ids"]) == ("finished", ["run-1", "run-2"])
    shown = json.loads(run("dataset", "show", "both", "--in", str(folder), "--json").stdout)
    assert shown["duration_s"] == 100.0
    assert shown["rows"]["windows"] == entry["windows"] == len(Dataset(folder / "both").windows())
    assert run("dataset", "tag", "both", "v1", "--in", str(folder)).exit_code == 0
    out = tmp_path / "both.tar.zst"
    assert run("dataset", "download", "v1", "--out", str(out), "--in", str(folder)).exit_code == 0
    with (
        out.open("rb") as file,
        zstandard.ZstdDecompressor().stream_reader(file) as stream,
        tarfile.open(fileobj=stream, mode="r|") as archive,
    ):
        archive.extractall(tmp_path / "out", filter="data")
    assert problems_of(tmp_path / "out" / "both") == []
    (folder / "both" / "runs" / "mine.txt").touch()
    refused = run("dataset", "delete", "both", "--yes", "--in", str(folder))
    assert refused.exit_code == 2
    assert "mine.txt', which is no part of the dataset" in refused.stderr
    (folder / "both" / "runs" / "mine.txt").unlink()
    assert run("dataset", "delete", "both", "--yes", "--in", str(folder)).exit_code == 0
    assert not (folder / "both").exists()


def test_a_time_over_two_runs_is_a_dataset_of_both(run: Run, tmp_path: Path) -> None:
    begin, end = (datetime.fromtimestamp(START_US / S + at, UTC).isoformat() for at in (30, 620))
    result = run("dataset", "build", "over", "--from", begin, "--to", end, "--in", str(tmp_path))
    assert result.exit_code == 0, result.output
    assert problems_of(tmp_path / "over") == []
    windows = Dataset(tmp_path / "over").windows().select("run_id", "start").to_arrow()
    starts = [each.timestamp() - START_US / S for each in windows.column("start").to_pylist()]
    assert set(windows.column("run_id").to_pylist()) == {"run-1", "run-2"}
    assert (min(starts), max(starts)) == (30, 615)


def test_what_is_changed_is_noticed(folder: Path) -> None:
    both = folder / "both"
    (both / "mine").touch()
    (both / "features.parquet").write_bytes((both / "features.parquet").read_bytes()[:-1])
    logs = both / "runs" / "0002" / "logs.parquet"
    logs.write_bytes(pq.read_table(both / "runs" / "0001" / "logs.parquet").schema.serialize().to_pybytes())
    problems = problems_of(both)
    for words in ("mine: no part", "features.parquet: ", "runs/0002: logs.parquet: "):
        assert any(words in each for each in problems), words
    (both / "runs.json").write_text(json.dumps({"format_version": 1}))
    with pytest.raises(InvalidInput, match=r"runs.json can't be read"):
        Dataset(both)
