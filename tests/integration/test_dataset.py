"""Datasets from a real broker: rebuilt twice, on other partitions, by the archiver as a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from recorded_run import record_run
from synthetic import Story

from microservo.adapters.datasets import content_hash, read_manifest, rebuild, verify, verify_against_live
from microservo.adapters.kafka import KafkaBroker
from microservo.testing import MemoryBroker, eventually

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
