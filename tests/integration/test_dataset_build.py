"""Datasets that a process of its own builds from a real broker: it goes on alone, and kill -9 shows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from recorded_run import record_run
from synthetic import Story

from microservo.adapters.kafka import KafkaBroker
from microservo.client.client import Client
from microservo.datasets import read_manifest, verify
from microservo.domain.datasets.shelf import DatasetEntry
from microservo.errors import InvalidInput
from microservo.testing import eventually

pytestmark = pytest.mark.integration

LONG = Story(seconds=300)


def entry(client: Client, folder: Path, name: str) -> DatasetEntry:
    return next(each for each in client.datasets.list(folder) if each.name == name)


def test_a_killed_build_is_shown_as_interrupted_and_resumed_to_the_same_bytes(
    kafka_broker: KafkaBroker, topic_prefix: str, tmp_path: Path
) -> None:
    record_run(kafka_broker, LONG, prefix=topic_prefix)
    client = Client(broker=kafka_broker, topic_prefix=topic_prefix)
    folder = tmp_path / "Jürgens 'data'"
    pid = client.datasets.start_build("d", run_ids=[LONG.run_id], folder=folder)
    assert entry(client, folder, "d").state == "running"
    # In the middle: something is partly written.
    eventually(
        lambda: list(folder.glob(".d.partial-*/*.parquet")), timeout_s=120, what="files of the dataset"
    )
    tree = psutil.Process(pid).children(recursive=True)
    os.kill(pid, signal.SIGKILL)
    eventually(
        lambda: entry(client, folder, "d").state == "interrupted", what="the building to be interrupted"
    )
    assert not (folder / "d").exists()
    # Its workers end by themselves, since nobody reads what they say.
    eventually(
        lambda: not any(each.is_running() and each.status() != "zombie" for each in tree),
        timeout_s=60,
        what="its workers to end",
    )
    with pytest.raises(InvalidInput, match="is no dataset"):
        client.datasets.show("d", folder=folder)
    resumed = client.datasets.resume_build("d", folder=folder)
    assert entry(client, folder, "d").state == "finished"
    assert verify(folder / "d") == []
    assert not list(folder.glob(".d.partial-*"))
    whole = client.datasets.rebuild(LONG.run_id, tmp_path / "rebuilt")
    assert resumed == whole.content_hash
    for path in (tmp_path / "rebuilt").iterdir():
        assert (folder / "d" / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_build_in_the_background_outlives_the_command_and_says_how_it_ended(
    kafka_broker: KafkaBroker, kafka_bootstrap_servers: str, topic_prefix: str, tmp_path: Path
) -> None:
    story = Story(seconds=60)
    record_run(kafka_broker, story, prefix=topic_prefix)
    client = Client(broker=kafka_broker, topic_prefix=topic_prefix)
    environment = os.environ | {"MICROSERVO_ARCHIVE_DIR": "data"}
    command = [
        *(sys.executable, "-c", "from microservo.cli import main; main()"),
        *("--bootstrap-servers", kafka_bootstrap_servers, "--topic-prefix", topic_prefix),
        *("dataset", "build", "--background"),
    ]
    for name, run_id in (("good", story.run_id), ("bad", "no-such-run")):
        done = subprocess.run(
            [*command, name, "--run", run_id],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        assert f"builds {name}; `microservo dataset list` says how far it is" in done.stdout
    folder = tmp_path / "data"
    for name, state in (("good", "finished"), ("bad", "failed")):
        eventually(
            lambda name=name: entry(client, folder, name).state != "running",  # type: ignore[misc]
            timeout_s=120,
            what=f"{name} to end",
        )
        found = entry(client, folder, name)
        assert found.state == state, (folder / ".builds" / f"{name}.log").read_text()
    assert verify(folder / "good") == []
    assert read_manifest(folder / "good").run.run_id == story.run_id
    assert "no run 'no-such-run'" in entry(client, folder, "bad").problem
    assert "no run 'no-such-run'" in (folder / ".builds" / "bad.log").read_text()
    assert not (folder / "bad").exists()
