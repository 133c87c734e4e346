"""The example of docs/read_the_topics.md reads what is on the topics of a real broker."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from sdk_services import JAVA, compile_java, kafka_class_path

import schemas
from microservo.adapters.broker import TopicSpec
from microservo.adapters.kafka import KafkaBroker
from microservo.domain.telemetry import span_columns
from schemas.codec import decode_as
from schemas.examples import example_bytes
from schemas.records import SpanBatch

pytestmark = pytest.mark.integration

DOCUMENT = Path(__file__).parents[2] / "docs" / "read_the_topics.md"


@pytest.fixture(scope="module")
def read_topic(tmp_path_factory: pytest.TempPathFactory, kafka_bootstrap_servers: str) -> ReadTopic:
    """The program of the document, compiled."""
    folder = tmp_path_factory.mktemp("java")
    (program,) = re.findall(r"^```java\n(.*?)^```", DOCUMENT.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    (folder / "ReadTopic.java").write_text(program, "utf-8")
    class_path = f"{folder}:{kafka_class_path()}"
    compile_java(folder / "ReadTopic.java", folder, class_path)
    return ReadTopic(class_path, kafka_bootstrap_servers)


class ReadTopic:
    def __init__(self, class_path: str, servers: str) -> None:
        self._class_path, self._servers = class_path, servers

    def lines(self, topic: str) -> list[str]:
        """What it prints of a topic."""
        arguments = (self._servers, topic, str(Path(schemas.__file__).parent))
        done = subprocess.run(
            [JAVA, "-cp", self._class_path, "ReadTopic", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()


def test_every_version_of_every_record_is_read_with_its_columns(
    read_topic: ReadTopic, kafka_broker: KafkaBroker, topic_prefix: str
) -> None:
    topic = topic_prefix + "all"
    kafka_broker.admin().ensure_topics([TopicSpec(name=topic, partitions=2, config={})])
    written = [value for values in example_bytes().values() for value in values.values()]
    with kafka_broker.producer() as producer:
        for value in written:
            producer.send(topic, key=b"frontend", value=value)
        producer.send(topic, key=b"heartbeat", value=None)
        producer.flush(60)
    lines = read_topic.lines(topic)
    # Columns of one message make a line for each entry, so there are more lines than messages.
    assert len(lines) >= len(written)
    for version, values in example_bytes().items():
        if version[0] == "span_batch":
            for value in values.values():
                assert _as_line(decode_as(SpanBatch, value)) in map(_first_columns, lines), version


def _as_line(batch: SpanBatch) -> dict[str, str]:
    """The first span of a batch."""
    columns = span_columns(batch)
    return {
        "service": batch.service,
        "start_us": str(columns.start_us[0]),
        "duration_us": str(columns.duration_us[0]),
        "instance": batch.instances[columns.instance[0]],
        "endpoint": batch.endpoints[columns.endpoint[0]],
        "peer": batch.peers[columns.peer[0]],
        "kind": str(columns.kind[0]),
        "error": str(columns.error[0]),
        "span_id": batch.span_id[:8].hex(),
    }


def _first_columns(line: str) -> dict[str, str]:
    service, *columns = line.split(" ")
    found = {"service": service, **dict(each.split("=", 1) for each in columns if "=" in each)}
    wanted = (
        "service",
        "start_us",
        "duration_us",
        "instance",
        "endpoint",
        "peer",
        "kind",
        "error",
        "span_id",
    )
    return {name: found[name] for name in wanted if name in found}
