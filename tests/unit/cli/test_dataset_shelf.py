"""Datasets side by side in a folder, on the command line and from Python."""

from __future__ import annotations

import json
import os
import tarfile
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest
import zstandard
from click.testing import Result
from recorded_run import record_run
from synthetic import START_US, Story

from microservo.client.client import Client
from microservo.datasets import read_manifest, rebuild, verify, verify_against_live
from microservo.datasets.files import TableFile
from microservo.datasets.shelf import Shelf
from microservo.domain.datasets.shelf import Build, BuildRequest
from microservo.errors import InvalidInput
from microservo.testing import MemoryBroker

Run = Callable[..., Result]
STORY = Story(seconds=90)
S = 1_000_000


@pytest.fixture(scope="module")
def recorded_broker() -> MemoryBroker:
    broker = MemoryBroker()
    record_run(broker, STORY)
    return broker


@pytest.fixture
def broker(recorded_broker: MemoryBroker) -> MemoryBroker:
    return recorded_broker


@pytest.fixture(scope="module")
def expected(recorded_broker: MemoryBroker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset of the run, rebuilt; not to be changed."""
    folder = tmp_path_factory.mktemp("expected") / "d"
    rebuild(recorded_broker, run_id="run-1", out_dir=folder)
    return folder


@pytest.fixture
def shelf(run: Run, tmp_path: Path) -> Path:
    """A folder with a blank, an umlaut and an apostrophe in its name, and one dataset, `monday`."""
    folder = tmp_path / "Jürgens 'data'"
    assert run("dataset", "build", "monday", "--in", str(folder)).exit_code == 0
    return folder


def listed(run: Run, folder: Path) -> dict[str, dict[str, object]]:
    result = run("dataset", "list", "--in", str(folder), "--json")
    assert result.exit_code == 0, result.output
    return {entry["name"]: entry for entry in map(json.loads, result.stdout.splitlines())}


def refused(result: Result, words: str) -> None:
    """The command was refused with one line that has these words in it."""
    assert result.exit_code == 2, result.output
    (line,) = [each for each in result.stderr.splitlines() if each.startswith("error: ")]
    assert words in line


def test_a_dataset_that_is_built_is_the_one_that_a_rebuild_makes(
    run: Run, shelf: Path, expected: Path
) -> None:
    assert {path.name: path.read_bytes() for path in (shelf / "monday").iterdir()} == {
        path.name: path.read_bytes() for path in expected.iterdir()
    }
    entry = listed(run, shelf)["monday"]
    assert (entry["state"], entry["run_ids"], entry["problem"]) == ("finished", ["run-1"], "")
    assert entry["windows"] == pq.read_metadata(expected / "windows.parquet").num_rows
    assert "monday" in run("dataset", "list", "--in", str(shelf)).stdout


def test_an_empty_folder_and_none_at_all_have_no_datasets(run: Run, tmp_path: Path) -> None:
    assert "no datasets in" in run("dataset", "list", "--in", str(tmp_path / "none")).stdout
    assert not (tmp_path / "none").exists()


def test_a_name_is_taken_once_and_holds_no_path(run: Run, shelf: Path) -> None:
    refused(run("dataset", "build", "monday", "--in", str(shelf)), "there is a dataset 'monday'")
    for name in ("../away", "a/b", ".hidden", "", " ", "line\nbreak"):
        refused(run("dataset", "build", "--in", str(shelf), "--", name), "can't name a dataset")
    assert sorted(listed(run, shelf)) == ["monday"]


def test_a_stretch_of_time_is_a_dataset_that_verifies_and_equals_the_live_windows(
    run: Run, shelf: Path, broker: MemoryBroker, expected: Path
) -> None:
    begin, end = START_US + 12 * S, START_US + 58 * S
    times = [datetime.fromtimestamp(at / S, UTC).isoformat() for at in (begin, end)]
    result = run("dataset", "build", "part", "--from", times[0], "--to", times[1], "--in", str(shelf))
    assert result.exit_code == 0, result.output
    folder = shelf / "part"
    assert verify(folder) == verify_against_live(folder, broker) == []
    whole = pq.read_table(expected / "windows.parquet").to_pylist()
    inside = [
        row for row in whole if row["start"].timestamp() * S >= begin and row["end"].timestamp() * S <= end
    ]
    # NaN is like nothing, itself included.
    assert repr(pq.read_table(folder / "windows.parquet").to_pylist()) == repr(inside)
    assert len(inside) == 8 * len(STORY.services)
    first, last = inside[0]["start"], inside[-1]["end"]
    for name in ("logs", "metrics", "traces"):
        rows = pq.read_table(expected / f"{name}.parquet").to_pylist()
        kept = [row for row in rows if first <= row["time"] < last]
        assert pq.read_table(folder / f"{name}.parquet").to_pylist() == kept != []
    labels = {row["fault_id"] for row in pq.read_table(folder / "labels.parquet").to_pylist()}
    assert labels <= {row["fault_id"] for row in pq.read_table(folder / "faults.parquet").to_pylist()}
    assert read_manifest(folder).range_us == (START_US + 15 * S, START_US + 55 * S)
    assert "an excerpt: what lies between" in (folder / "README.md").read_text()


def test_a_time_without_windows_is_refused_and_nothing_is_there(run: Run, shelf: Path) -> None:
    for begin, end, words in (
        ("2001-01-01T00:00:00Z", "2001-01-02T00:00:00Z", "no run goes on in that time"),
        ("2100-01-01T00:00:00Z", "2001-01-02T00:00:00Z", "no run goes on in that time"),
    ):
        result = run("dataset", "build", "never", "--from", begin, "--to", end, "--in", str(shelf))
        refused(result, words)
    at = datetime.fromtimestamp(START_US / S + 31, UTC).isoformat()
    result = run("dataset", "build", "never", "--from", at, "--to", at, "--run", "run-1", "--in", str(shelf))
    refused(result, "give an end after its start")
    entry = listed(run, shelf)["never"]
    assert (entry["state"], str(entry["problem"])[:18]) == ("failed", "nothing is between")
    assert not (shelf / "never").exists()
    assert run("dataset", "delete", "never", "--yes", "--in", str(shelf)).exit_code == 0
    assert sorted(listed(run, shelf)) == ["monday"]


def test_numbers_are_those_of_the_tables(run: Run, shelf: Path, expected: Path) -> None:
    found = json.loads(run("dataset", "show", "monday", "--in", str(shelf), "--json").stdout)
    truths = pq.read_table(expected / "windows.parquet").column("truth").to_pylist()
    anomalous, normal = truths.count("anomalous"), truths.count("normal")
    assert found["prevalence"] == anomalous / (anomalous + normal)
    assert found["masked"] == truths.count("masked") / len(truths)
    assert found["duration_s"] == 90.0
    assert found["rows"]["logs"] == pq.read_metadata(expected / "logs.parquet").num_rows
    faults = pq.read_table(expected / "faults.parquet").to_pylist()
    in_force = {row["fault_id"] for row in faults if row["applied_at"] is not None}
    assert sum(found["faults"].values()) == sum(found["severities"].values()) == len(in_force)
    ledger = pq.read_table(expected / "ledger.parquet")
    assert found["ledger"]["read"] == sum(ledger.column("read").to_pylist())
    shown = run("dataset", "show", str(shelf / "monday"), "--in", "elsewhere").stdout
    assert "prevalence" in shown
    assert found["content_hash"] in shown


def test_a_preview_shows_the_first_rows_of_any_table(run: Run, shelf: Path) -> None:
    result = run(
        "dataset", "preview", "monday", "--table", "logs", "--rows", "3", "--in", str(shelf), "--json"
    )
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    expected = pq.read_table(shelf / "monday" / "logs.parquet").slice(0, 3).to_pylist()
    assert [row["body"] for row in rows] == [row["body"] for row in expected]
    for table in ("features", "windows", "instances"):
        result = run("dataset", "preview", "monday", "--table", table, "--in", str(shelf))
        assert result.exit_code == 0, result.output
    refused(
        run("dataset", "preview", "monday", "--table", "x", "--in", str(shelf)), "has no table 'x'; it has"
    )
    refused(run("dataset", "preview", "monday", "--rows", "0", "--in", str(shelf)), "ask for 1 or more")


def test_a_split_is_written_as_two_files(run: Run, shelf: Path, tmp_path: Path) -> None:
    arguments = ("--warmup", "5s", "--out", str(tmp_path / "split"), "--in", str(shelf))
    result = run("dataset", "split", "monday", *arguments)
    assert result.exit_code == 0, result.output
    train, test = (pq.read_table(tmp_path / "split" / f"{side}.parquet") for side in ("train", "test"))
    assert f"{train.num_rows} windows" in result.stdout
    assert max(train.column("end").to_pylist()) <= min(test.column("start").to_pylist())
    refused(run("dataset", "split", "monday", *arguments), "is not empty")


def test_tags_and_words_stay_with_the_content_that_they_are_of(
    run: Run, shelf: Path, tmp_path: Path, broker: MemoryBroker
) -> None:
    assert run("dataset", "tag", "monday", "v1", "--in", str(shelf)).exit_code == 0
    assert run("dataset", "describe", "monday", "Störung 'A'", "--in", str(shelf)).exit_code == 0
    entry = listed(run, shelf)["monday"]
    assert (entry["tags"], entry["description"]) == (["v1"], "Störung 'A'")
    assert run("dataset", "show", "v1", "--in", str(shelf)).exit_code == 0
    refused(run("dataset", "tag", "tuesday", "v2", "--in", str(shelf)), "'tuesday' is no dataset")
    Client(broker=broker).datasets.build(
        "other", run_ids=["run-1"], folder=shelf, end=datetime.max.replace(tzinfo=UTC)
    )
    refused(run("dataset", "tag", "other", "v1", "--in", str(shelf)), "'v1' is of monday already")
    refused(run("dataset", "tag", "other", "monday", "--in", str(shelf)), "already; give another tag")
    # Another content under the same name is another version, which the tag is not of.
    fields = json.loads((shelf / "monday" / "manifest.json").read_text())
    fields["content_hash"] = "0" * 64
    (shelf / "monday" / "manifest.json").write_text(json.dumps(fields))
    refused(run("dataset", "show", "v1", "--in", str(shelf)), "holds no longer")
    assert listed(run, shelf)["monday"]["tags"] == []


@pytest.mark.parametrize("ending", [".tar.zst", ".zip"])
def test_an_archive_holds_the_dataset_and_is_the_same_twice(
    run: Run, shelf: Path, tmp_path: Path, ending: str
) -> None:
    outs = [tmp_path / "ä b" / f"{number}{ending}" for number in range(2)]
    for out in outs:
        result = run("dataset", "download", "monday", "--out", str(out), "--in", str(shelf))
        assert result.exit_code == 0, result.output
        for path in (shelf / "monday").iterdir():
            os.utime(path, (1, 1))
    assert outs[0].read_bytes() == outs[1].read_bytes()
    if ending == ".zip":
        with zipfile.ZipFile(outs[0]) as archive:
            archive.extractall(tmp_path / "out")  # noqa: S202  # our own
    else:
        with (
            outs[0].open("rb") as file,
            zstandard.ZstdDecompressor().stream_reader(file) as stream,
            tarfile.open(fileobj=stream, mode="r|") as archive,
        ):
            archive.extractall(tmp_path / "out", filter="data")
    assert verify(tmp_path / "out" / "monday") == []
    assert sorted(path.name for path in (tmp_path / "ä b").iterdir()) == [f"0{ending}", f"1{ending}"]


def test_no_archive_is_made_of_a_damaged_dataset_or_under_another_ending(
    run: Run, shelf: Path, tmp_path: Path
) -> None:
    refused(
        run("dataset", "download", "monday", "--out", "x.rar", "--in", str(shelf)), "end in .tar.zst or .zip"
    )
    logs = shelf / "monday" / "logs.parquet"
    logs.write_bytes(logs.read_bytes()[:-1])
    out = tmp_path / "x.zip"
    refused(
        run("dataset", "download", "monday", "--out", str(out), "--in", str(shelf)),
        "is damaged: logs.parquet",
    )
    assert not out.exists()


def test_deleting_asks_and_then_leaves_nothing(run: Run, shelf: Path) -> None:
    assert run("dataset", "tag", "monday", "v1", "--in", str(shelf)).exit_code == 0
    assert run("dataset", "delete", "monday", "--in", str(shelf), answers="n\n").exit_code != 0
    assert verify(shelf / "monday") == []
    assert run("dataset", "delete", "monday", "--in", str(shelf), answers="y\n").exit_code == 0
    assert listed(run, shelf) == {}
    assert [path.name for path in shelf.iterdir() if not path.name.startswith(".")] == []
    assert not list(shelf.glob(".monday*"))
    refused(run("dataset", "show", "v1", "--in", str(shelf)), "is no dataset")


def test_what_is_no_dataset_is_never_deleted(run: Run, shelf: Path, tmp_path: Path) -> None:
    (shelf / "photos").mkdir()
    (shelf / "photos" / "holiday.jpg").touch()
    refused(run("dataset", "delete", "photos", "--yes", "--in", str(shelf)), "'photos' is no dataset")
    (shelf / "monday" / "thesis.tex").touch()
    refused(run("dataset", "delete", "monday", "--yes", "--in", str(shelf)), "'thesis.tex', which is no part")
    (shelf / "monday" / "thesis.tex").unlink()
    (shelf / "link").symlink_to(shelf / "monday")
    refused(run("dataset", "delete", "link", "--yes", "--in", str(shelf)), "is a link")
    refused(
        run("dataset", "delete", str(shelf / "monday"), "--yes", "--in", str(shelf)), "can't name a dataset"
    )
    assert (shelf / "photos" / "holiday.jpg").exists()
    assert verify(shelf / "monday") == []


def begun(name: str, *, pid: int, started_s: float) -> Build:
    request = BuildRequest(run_ids=("run-1",))
    return Build(
        name=name,
        request=request,
        state="running",
        pid=pid,
        process_started_s=started_s,
        began_us=1,
        total=8,
        done=2,
    )


def test_a_building_whose_process_is_gone_is_interrupted_and_can_be_resumed(
    run: Run, shelf: Path, expected: Path
) -> None:
    # The number of a process that runs, but not since then: another one has it now.
    Shelf(shelf).write_build(begun("tuesday", pid=os.getpid(), started_s=1.0))
    partial = shelf / ".tuesday.partial-abc"
    partial.mkdir()
    (partial / "windows.parquet").write_bytes(b"PAR1")
    assert listed(run, shelf)["tuesday"]["state"] == "interrupted"
    assert "interrupted" in run("dataset", "list", "--in", str(shelf)).stdout
    refused(run("dataset", "show", "tuesday", "--in", str(shelf)), "'tuesday' is no dataset")
    result = run("dataset", "build", "tuesday", "--resume", "--in", str(shelf))
    assert result.exit_code == 0, result.output
    assert read_manifest(shelf / "tuesday") == read_manifest(expected)
    assert listed(run, shelf)["tuesday"]["state"] == "finished"
    assert not partial.exists()
    refused(run("dataset", "build", "tuesday", "--resume", "--in", str(shelf)), "is finished; only what was")
    refused(run("dataset", "build", "friday", "--resume", "--in", str(shelf)), "was never begun")


def test_one_that_goes_on_shows_how_far_it_is_and_is_not_deleted(run: Run, shelf: Path) -> None:
    own = psutil.Process()
    Shelf(shelf).write_build(begun("tuesday", pid=own.pid, started_s=own.create_time()))
    assert "running, 25%" in run("dataset", "list", "--in", str(shelf)).stdout
    refused(run("dataset", "delete", "tuesday", "--yes", "--in", str(shelf)), "is being built by process")
    refused(run("dataset", "build", "tuesday", "--resume", "--in", str(shelf)), "is running")
    with Shelf(shelf).building("tuesday"):
        refused(run("dataset", "build", "tuesday", "--in", str(shelf)), "is being built by another process")


def test_a_failure_is_a_failure_and_says_why(
    run: Run, shelf: Path, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused(run("dataset", "build", "x", "--run", "run-99", "--in", str(shelf)), "no run 'run-99'")
    assert "no run 'run-99'" in str(listed(run, shelf)["x"]["problem"])

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(TableFile, "append", full)
    result = run("dataset", "build", "y", "--in", str(shelf))
    assert result.exit_code == 3
    (line,) = [each for each in result.stderr.splitlines() if each.startswith("error: ")]
    assert "No space left on device; make room there" in line
    entry = listed(run, shelf)["y"]
    assert (entry["state"], "No space left" in str(entry["problem"])) == ("failed", True)
    assert not (shelf / "y").exists()
    assert not list(shelf.glob(".y.partial-*"))


def test_a_state_that_can_not_be_read_is_one_line(run: Run, shelf: Path) -> None:
    (shelf / ".builds" / "monday.json").write_text("{")
    refused(run("dataset", "list", "--in", str(shelf)), "monday.json can't be read; delete it")
    (shelf / ".builds" / "monday.json").unlink()
    (shelf / ".notes.json").write_text("[")
    refused(run("dataset", "list", "--in", str(shelf)), ".notes.json can't be read; mend it or delete it")


def test_a_dataset_that_lost_a_file_is_not_listed_as_finished(run: Run, shelf: Path) -> None:
    (shelf / "monday" / "logs.parquet").unlink()
    entry = listed(run, shelf)["monday"]
    assert (entry["state"], entry["problem"]) == ("failed", "logs.parquet is missing")


def test_a_folder_that_can_not_be_made_is_one_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run("dataset", "build", "x", "--in", str(tmp_path / "file" / "data"))
    assert result.exit_code == 3
    assert "can't write to" in result.stderr


def test_a_broker_in_memory_can_not_be_read_in_the_background(run: Run, shelf: Path) -> None:
    refused(run("dataset", "build", "x", "--background", "--in", str(shelf)), "build in the foreground")


def test_the_client_does_all_of_it_too(broker: MemoryBroker, tmp_path: Path, expected: Path) -> None:
    datasets = Client(broker=broker).datasets
    steps: list[tuple[float, float]] = []
    datasets.build("a", run_ids=["run-1"], folder=tmp_path, progress=lambda *step: steps.append(step))
    assert steps[-1][0] == steps[-1][1] > 0
    datasets.tag("a", "v1", folder=tmp_path)
    datasets.describe("a", "words", folder=tmp_path)
    (entry,) = datasets.list(tmp_path)
    assert (entry.tags, entry.description) == (("v1",), "words")
    assert datasets.show("v1", folder=tmp_path).content_hash == read_manifest(expected).content_hash
    assert datasets.download("a", tmp_path / "a.zip", folder=tmp_path).is_file()
    datasets.delete("a", folder=tmp_path)
    assert datasets.list(tmp_path) == ()
    with pytest.raises(InvalidInput, match="was never begun"):
        datasets.resume_build("a", folder=tmp_path)
