"""A recording that went out in a format of others comes back as a run, with the same faults and values."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest
from foreign_recordings import AT_S, rcaeval_case
from made_dataset import write_dataset

from microservo import Client
from microservo.adapters.kafka import KafkaBroker
from microservo.datasets import export, rebuild, verify
from microservo.errors import InvalidInput
from microservo.log.collected_minutes import collected_minutes
from microservo.log.runs import runs
from microservo.log.topics import topic_specs
from microservo.testing import eventually

pytestmark = pytest.mark.integration

COMMAND = (sys.executable, "-P", "-c", "from microservo.cli import main; main()")
TIMEOUT_S = 240


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "dataset"
    write_dataset(folder)
    return folder


@pytest.mark.parametrize("name", ["rcaeval", "nezha", "nab"])
def test_what_was_exported_is_a_run_again_with_its_services_faults_and_values(
    name: str, made: Path, kafka_broker: KafkaBroker, topic_prefix: str, tmp_path: Path
) -> None:
    kafka_broker.admin().ensure_topics(topic_specs(prefix=topic_prefix, partitions=3))
    export(made, format_name=name, out_dir=tmp_path / "out", progress=lambda *_: None)
    cases = sorted(each.parent for each in (tmp_path / "out").rglob("inject_time.txt"))
    recording = cases[0] if cases else tmp_path / "out"
    told = imported(recording, kafka_broker, topic_prefix, tmp_path)
    (run,) = runs(kafka_broker, topic_prefix)
    assert (run.run_id, run.status) == (told["run_id"], "finished")
    folder = tmp_path / "back"
    manifest = rebuild(kafka_broker, run_id=run.run_id, out_dir=folder, topic_prefix=topic_prefix)
    assert verify(folder) == []
    assert manifest.unfinished_windows == 0
    back, before = rows(folder, "faults"), rows(made, "faults")
    assert len({each["fault_id"] for each in back}) == told["faults"] > 0
    assert {each["service"] for each in back} <= {each["service"] for each in rows(made, "windows")}
    if name != "nab":
        applied = {
            (each["service"], int(each["applied_at"].timestamp())) for each in before if each["applied_at"]
        }
        assert {(each["service"], int(each["applied_at"].timestamp())) for each in back} <= applied
        assert all(each["recovered_at"] is None for each in back), "such labels have no end"
        assert all(each["state"] == "stopped" for each in back)
        spans, mine = ids(made), ids(folder)
        assert mine
        assert mine <= spans
    assert rows(folder, "metrics")


def test_an_import_that_was_killed_goes_on_and_nothing_is_lost_or_twice(
    kafka_broker: KafkaBroker, topic_prefix: str, tmp_path: Path
) -> None:
    kafka_broker.admin().ensure_topics(topic_specs(prefix=topic_prefix, partitions=3))
    case = tmp_path / "set" / "cart_cpu" / "1"
    case.mkdir(parents=True)
    (case / "inject_time.txt").write_text(f"{AT_S + 200}\n")
    values = "".join(f"{AT_S + each},{each}.5\n" for each in range(360))
    (case / "simple_metrics.csv").write_text(f"time,cart_cpu\n{values}")
    argv = [*COMMAND, *place(kafka_broker, topic_prefix), "dataset", "import", str(case), "--speed", "30x"]
    with subprocess.Popen(argv, env=environment(tmp_path), start_new_session=True) as process:

        def has_begun() -> bool:
            assert process.poll() is None, "it ended before it could be killed"
            found = runs(kafka_broker, topic_prefix)
            return bool(found) and len(collected_minutes(kafka_broker, found[0].run_id, topic_prefix)) > 1

        eventually(has_begun, timeout_s=TIMEOUT_S, what="the second minute")
        group = [process.pid, *(each.pid for each in psutil.Process(process.pid).children(recursive=True))]
        for each in group:
            os.kill(each, signal.SIGKILL)
    (run,) = runs(kafka_broker, topic_prefix)
    assert run.status == "running", "what is not whole is never said to be"
    told = imported(case, kafka_broker, topic_prefix, tmp_path, "--run", run.run_id)
    assert told["run_id"] == run.run_id
    (run,) = runs(kafka_broker, topic_prefix)
    assert run.status == "finished"
    folder = tmp_path / "back"
    manifest = rebuild(kafka_broker, run_id=run.run_id, out_dir=folder, topic_prefix=topic_prefix)
    assert manifest.unfinished_windows == 0
    found = sorted((each["time"].timestamp(), each["value"]) for each in rows(folder, "metrics"))
    assert found == [(AT_S + each, each + 0.5) for each in range(360)]
    (fault,) = {each["fault_id"] for each in rows(folder, "faults")}
    assert "cart" in fault


def test_a_program_imports_a_recording_and_one_that_cant_be_read_leaves_no_run(
    kafka_broker: KafkaBroker, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MICROSERVO_HOME", str(tmp_path / "home"))
    kafka_broker.admin().ensure_topics(topic_specs(prefix=topic_prefix, partitions=3))
    case = tmp_path / "cart_cpu" / "1"
    case.mkdir(parents=True)
    (case / "inject_time.txt").write_text(f"{AT_S + 20}\n")
    metrics = case / "simple_metrics.csv"
    client = Client(kafka_broker.settings.bootstrap_servers, topic_prefix=topic_prefix)
    metrics.write_text(f"time,cart_cpu\n{AT_S},much\n")
    with pytest.raises(InvalidInput, match=r"simple_metrics\.csv, row 2"):
        client.datasets.import_recording(case)
    assert list(runs(kafka_broker, topic_prefix)) == []
    assert not list((tmp_path / "home").rglob("imports/*")), "nothing half-written"
    metrics.write_text("time,cart_cpu\n" + "".join(f"{AT_S + each},{each}.5\n" for each in range(60)))
    (made,) = client.datasets.import_recording(case)
    assert (made.format_name, made.part, made.records, made.faults) == ("rcaeval", "cart_cpu/1", 60, 1)
    (run,) = runs(kafka_broker, topic_prefix)
    assert (run.run_id, run.status) == (made.run_id, "finished")


def test_several_cases_become_runs_of_their_own_and_an_interruption_goes_on_behind_what_is_done(
    kafka_broker: KafkaBroker, topic_prefix: str, tmp_path: Path
) -> None:
    kafka_broker.admin().ensure_topics(topic_specs(prefix=topic_prefix, partitions=3))
    cases = ("cart_cpu/1", "cart_cpu/2", "front_mem/1")
    for number, name in enumerate(cases):
        rcaeval_case(tmp_path / "RE2-OB" / name, AT_S + 10 * number)
    told = all_imported(tmp_path / "RE2-OB", kafka_broker, topic_prefix, tmp_path)
    assert [each["part"] for each in told] == list(cases)
    by_id = {each.run_id: each for each in runs(kafka_broker, topic_prefix)}
    assert [by_id[each["run_id"]].status for each in told] == ["finished"] * 3
    targets = [by_id[each["run_id"]].target for each in told]
    assert [target.split(" (")[0] for target in targets] == [
        f"imported from rcaeval {each}" for each in cases
    ]
    folder = tmp_path / "second"
    rebuild(kafka_broker, run_id=told[1]["run_id"], out_dir=folder, topic_prefix=topic_prefix)
    assert verify(folder) == []
    (fault,) = rows(folder, "faults")
    assert (fault["service"], int(fault["applied_at"].timestamp())) == ("cart", AT_S + 15)

    # As if it had been interrupted in the second: what is before it is not imported again.
    again = all_imported(
        tmp_path / "RE2-OB", kafka_broker, topic_prefix, tmp_path, "--run", told[1]["run_id"]
    )
    assert [each["part"] for each in again] == ["cart_cpu/2", "front_mem/1"]
    assert again[0]["run_id"] == told[1]["run_id"]
    assert len(runs(kafka_broker, topic_prefix)) == 4, "the third is a run once more"
    refused = command(
        tmp_path / "RE2-OB" / "cart_cpu" / "1",
        kafka_broker,
        topic_prefix,
        tmp_path,
        *("--run", told[1]["run_id"]),
    )
    assert refused.returncode == 2
    assert "is of imported from rcaeval cart_cpu/2" in " ".join(refused.stderr.split())
    (tmp_path / "home" / "mine").mkdir()
    odd = command(tmp_path / "RE2-OB", kafka_broker, topic_prefix, tmp_path, "--run", "../mine")
    assert odd.returncode == 2
    assert (tmp_path / "home" / "mine").is_dir(), "only what was made for it is removed"
    assert list((tmp_path / "home" / "imports").iterdir()) == []


def place(broker: KafkaBroker, prefix: str) -> tuple[str, ...]:
    return ("--bootstrap-servers", broker.settings.bootstrap_servers, "--topic-prefix", prefix)


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "MICROSERVO_HOME": str(home / "home")}


def command(
    recording: Path, broker: KafkaBroker, prefix: str, home: Path, *more: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *place(broker, prefix), "dataset", "import", str(recording), "--json", *more],
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def all_imported(recording: Path, broker: KafkaBroker, prefix: str, home: Path, *more: str) -> list[Any]:
    """What is told of each run."""
    done = command(recording, broker, prefix, home, *more)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def imported(recording: Path, broker: KafkaBroker, prefix: str, home: Path, *more: str) -> Any:
    """What is told of the only run."""
    (told,) = all_imported(recording, broker, prefix, home, *more)
    return told


def ids(folder: Path) -> set[tuple[str, str]]:
    """Those of all spans and of their traces; one that is only zeros is none."""
    return {
        ((each["trace_id"] or "").strip("0"), (each["span_id"] or "").strip("0"))
        for each in rows(folder, "traces")
    }


def rows(folder: Path, table: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(folder / f"{table}.parquet").to_pylist()
    return found
