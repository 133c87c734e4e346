"""A recording that went out in a format of others comes back as a run, with the same faults and values."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from made_dataset import write_dataset

from microservo.adapters.kafka import KafkaBroker
from microservo.datasets import export, rebuild, verify
from microservo.log.runs import runs
from microservo.log.topics import topic_specs

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


def imported(recording: Path, broker: KafkaBroker, prefix: str, home: Path, *more: str) -> Any:
    place = ("--bootstrap-servers", broker.settings.bootstrap_servers, "--topic-prefix", prefix)
    done = subprocess.run(
        [*COMMAND, *place, "dataset", "import", str(recording), "--json", *more],
        env={**os.environ, "MICROSERVO_HOME": str(home / "home")},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def ids(folder: Path) -> set[tuple[str, str]]:
    """Those of all spans and of their traces; one that is only zeros is none."""
    return {
        ((each["trace_id"] or "").strip("0"), (each["span_id"] or "").strip("0"))
        for each in rows(folder, "traces")
    }


def rows(folder: Path, table: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(folder / f"{table}.parquet").to_pylist()
    return found
