"""Datasets from a real broker: rebuilt twice, on other partitions, by the archiver as a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from recorded_run import create_topics, record_run
from synthetic import Story

from microservo.adapters.kafka import KafkaBroker
from microservo.datasets import content_hash, read_manifest, rebuild, verify, verify_against_live
from microservo.datasets.share import Share
from microservo.datasets.workers import Workers
from microservo.domain.window_policy import WindowPolicy
from microservo.errors import Fatal
from microservo.testing import MemoryBroker, eventually
from schemas.catalogue import TELEMETRY_LOGS

pytestmark = pytest.mark.integration

STORY = Story(seconds=60)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The content hash of the story, from a broker in memory."""
    broker = MemoryBroker()
    record_run(broker, STORY)
    folder = tmp_path_factory.mktemp("expected") / "d"
    return rebuild(broker, run_id=STORY.run_id, out_dir=folder).content_hash


@pytest.mark.parametrize("partitions", [1, 3, 12])
def test_a_real_broker_gives_the_same_dataset_on_any_number_of_partitions(
    kafka_broker: KafkaBroker, topic_prefix: str, tmp_path: Path, expected: str, partitions: int
) -> None:
    record_run(kafka_broker, STORY, prefix=topic_prefix, partitions=partitions)
    hashes = set()
    for number, batch in enumerate((1000, 50)):
        folder = tmp_path / str(number)
        manifest = rebuild(
            kafka_broker, run_id=STORY.run_id, out_dir=folder, topic_prefix=topic_prefix, batch=batch
        )
        hashes |= {manifest.content_hash, content_hash(folder)}
        assert verify(folder) == []
        assert verify_against_live(folder, kafka_broker, topic_prefix) == []
    assert hashes == {expected}


@pytest.mark.parametrize("partitions", [3, 12])
def test_how_many_processes_read_does_not_matter(
    kafka_broker: KafkaBroker, topic_prefix: str, tmp_path: Path, partitions: int
) -> None:
    record_run(kafka_broker, STORY, prefix=topic_prefix, partitions=partitions)
    steps: list[tuple[int, int]] = []
    for processes in (0, 2):
        folder = tmp_path / str(processes)
        rebuild(
            kafka_broker,
            run_id=STORY.run_id,
            out_dir=folder,
            topic_prefix=topic_prefix,
            processes=processes,
            progress=lambda *step: steps.append(step),
        )
    assert steps[-1][0] == steps[-1][1] > 0
    for path in sorted((tmp_path / "0").iterdir()):
        assert path.read_bytes() == (tmp_path / "2" / path.name).read_bytes(), path.name


def test_an_error_in_a_worker_is_reported_and_leaves_nothing(
    kafka_broker: KafkaBroker, topic_prefix: str, tmp_path: Path
) -> None:
    create_topics(kafka_broker, prefix=topic_prefix, partitions=1)
    with kafka_broker.consumer(group_id=None) as consumer:
        (partition,) = consumer.partitions(topic_prefix + TELEMETRY_LOGS)
    share = Share(
        run_id=STORY.run_id,
        prefix=topic_prefix,
        policy=WindowPolicy(),
        writers=(),
        partition_numbers=[0],
        ranges={partition: (5, 9)},
        from_us=0,
        is_over=True,
        batch=1000,
    )
    with Workers(1) as workers:
        workers.assign(kafka_broker.settings, [share], tmp_path)
        with pytest.raises(Fatal, match="Offset out of range"):
            list(workers.steps())
    assert list(tmp_path.iterdir()) == []
    assert not any("datasets.worker" in " ".join(command_of(child)) for child in children(recursive=True))


def children(*, recursive: bool = False) -> list[psutil.Process]:
    return psutil.Process().children(recursive=recursive)


def command_of(process: psutil.Process) -> list[str]:
    """Empty of what has ended: other tests leave such children to this process."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def test_a_rebuild_whose_worker_is_killed_says_so_and_leaves_no_dataset(
    kafka_broker: KafkaBroker, topic_prefix: str, tmp_path: Path
) -> None:
    record_run(kafka_broker, STORY, prefix=topic_prefix, partitions=3)

    def kill_one(_done: int, _total: int) -> None:
        for child in children():
            if "microservo.datasets.worker" in command_of(child):
                for worker in child.children()[:1]:
                    worker.kill()

    with pytest.raises(Fatal, match=r"worker \d of 2 of the rebuild \(process \d+\) was killed"):
        rebuild(
            kafka_broker,
            run_id=STORY.run_id,
            out_dir=tmp_path / "d",
            topic_prefix=topic_prefix,
            processes=2,
            progress=kill_one,
        )
    assert list(tmp_path.iterdir()) == []


def test_the_archiver_archives_and_leaves_in_order(
    kafka_broker: KafkaBroker,
    kafka_bootstrap_servers: str,
    topic_prefix: str,
    tmp_path: Path,
    expected: str,
) -> None:
    environment = os.environ | {
        "MICROSERVO_BOOTSTRAP_SERVERS": kafka_bootstrap_servers,
        "MICROSERVO_TOPIC_PREFIX": topic_prefix,
        "MICROSERVO_ARCHIVE_DIR": str(tmp_path / "archive"),
    }
    record_run(kafka_broker, STORY, prefix=topic_prefix)
    manifest = tmp_path / "archive" / STORY.run_id / "manifest.json"
    with (tmp_path / "archiver.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "services.archiver"], env=environment, stderr=log)
        try:
            eventually(manifest.exists, timeout_s=120, what="a dataset of the finished run")
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0, (tmp_path / "archiver.log").read_text()
        finally:
            process.kill()
            process.wait(10)
    assert read_manifest(manifest.parent).content_hash == expected
    assert verify(manifest.parent) == []
