"""The stamps of a writer that is killed while it sends as fast as it can, on a real broker."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from microservo.adapters.broker import Broker, Message, TopicSpec
from schemas.envelope import Stamp

pytestmark = pytest.mark.integration

PARTITIONS = 3
LIVES = 5
# Waits with everything loaded, so that it looks for the last stamp milliseconds after its forerunner's death.
WRITER = """
import sys
from microservo.adapters.clock import now_us
from microservo.adapters.kafka import KafkaBroker, KafkaSettings
from microservo.errors import Retryable
from microservo.log.stamped import StampedWriter
from schemas.codec import framing

broker = KafkaBroker(KafkaSettings(bootstrap_servers=sys.argv[1]))
print("loaded", flush=True)
sys.stdin.readline()
writer = StampedWriter(
    broker, sys.argv[2], writer="w", run_id=lambda: "r", clock=now_us, source="/t", linger_ms=int(sys.argv[3])
)
value = framing(5) + bytes(2000)
for number in range(10_000_000):
    try:
        writer.send(b"", value, 3, partition=number % writer.partitions)
    except Retryable:
        writer.flush()
    if number == 3000:
        print("sending", flush=True)
"""


@contextmanager
def waiting_writer(servers: str, topic: str, linger_ms: int) -> Iterator[subprocess.Popen[str]]:
    """A writer that has loaded all it needs and waits for a line before it begins."""
    command = [sys.executable, "-c", WRITER, servers, topic, str(linger_ms)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def say(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def next_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("linger_ms", [0, 20])
def test_no_stamp_is_repeated_or_left_out_when_its_writer_is_killed(
    kafka_broker: Broker, kafka_bootstrap_servers: str, topic_prefix: str, linger_ms: int
) -> None:
    topic = f"{topic_prefix}killed"
    kafka_broker.admin().ensure_topics([TopicSpec(name=topic, partitions=PARTITIONS, config={})])
    with ExitStack() as stack:
        lives = [
            stack.enter_context(waiting_writer(kafka_bootstrap_servers, topic, linger_ms))
            for _ in range(LIVES)
        ]
        for process in lives:
            assert next_line(process) == "loaded"
        for process in lives:
            say(process)
            assert next_line(process) == "sending"
            process.kill()
    messages = by_partition(kafka_broker, topic)
    assert sum(map(len, messages)) > 3000
    for found in messages:
        stamps = [Stamp.read(message.headers) for message in found]
        assert [stamp.sequence for stamp in stamps] == list(range(len(stamps)))
        assert [stamp.total for stamp in stamps] == list(range(3, 3 * len(stamps) + 1, 3))
        assert [stamp.watermark_us for stamp in stamps] == sorted(stamp.watermark_us for stamp in stamps)


def by_partition(broker: Broker, topic: str) -> list[list[Message]]:
    """All of a topic, by partition."""
    found: list[list[Message]] = [[] for _ in range(PARTITIONS)]
    with broker.consumer(group_id=None) as consumer:
        ranges = {each: consumer.offset_range(each) for each in consumer.partitions(topic)}
        consumer.assign({each: first for each, (first, _) in ranges.items()})
        missing = sum(end - first for first, end in ranges.values())
        while missing:
            batch = consumer.consume(missing, 10.0)
            assert batch, f"{missing} messages did not arrive"
            for message in batch:
                found[message.partition].append(message)
            missing -= len(batch)
    return found
