"""The evaluator as a process on a real broker, killed while it judges."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from evaluated_run import FAULTS, alarms, experiment, scores, truths

from microservo.adapters.kafka import KafkaBroker
from microservo.adapters.ports import free_ports
from microservo.adapters.processes import python_argv
from microservo.domain.evaluation import Read, RunEvaluation
from microservo.log.reader import read_state
from microservo.log.run_records import update_run, write_run
from microservo.log.topics import topic_specs
from microservo.retry import retry
from microservo.runtime.probe import is_healthy
from microservo.testing import eventually
from schemas.catalogue import CASES, EVALUATIONS, catalogue, topic_of
from schemas.codec import encode
from schemas.files import record_name
from schemas.records import Case, Evaluation, Experiment

pytestmark = pytest.mark.integration

NAMES = ("good", "random")
Start = Callable[[], "subprocess.Popen[bytes]"]


@pytest.fixture
def topic(kafka_broker: KafkaBroker, topic_prefix: str) -> Callable[[str], str]:
    """The topics of a run that has begun, by logical name."""
    kafka_broker.admin().ensure_topics(topic_specs(prefix=topic_prefix, partitions=2))

    def begin() -> None:
        write_run(kafka_broker, experiment(), process="system", clock=lambda: 1, topic_prefix=topic_prefix)

    retry(begin, timeout_s=30)
    return lambda name: topic_prefix + name


@pytest.fixture
def start(kafka_bootstrap_servers: str, topic_prefix: str) -> Iterator[Start]:
    """Starts an evaluator and waits until it is ready; kills what is left at the end."""
    running: list[subprocess.Popen[bytes]] = []

    def begin() -> subprocess.Popen[bytes]:
        (port,) = free_ports(1)
        environment = {
            **os.environ,
            "MICROSERVO_BOOTSTRAP_SERVERS": kafka_bootstrap_servers,
            "MICROSERVO_TOPIC_PREFIX": topic_prefix,
            "MICROSERVO_RUN_ID": "run-1",
            "MICROSERVO_HEALTH_PORT": str(port),
            "MICROSERVO_BOARD_INTERVAL_S": "0.2",
        }
        process = subprocess.Popen(python_argv("services.evaluator"), env=environment)
        running.append(process)
        eventually(lambda: is_healthy(f"http://127.0.0.1:{port}"), timeout_s=60, what="the evaluator")
        return process

    yield begin
    for process in running:
        process.kill()
        process.wait()


@contextmanager
def _ending(process: subprocess.Popen[bytes]) -> Iterator[None]:
    yield
    process.terminate()
    assert process.wait(60) == 0


def put(broker: KafkaBroker, topic: Callable[[str], str], records: Iterable[Read]) -> None:
    with broker.producer() as producer:
        for record in records:
            if not isinstance(record, Experiment):
                known = topic_of(record_name(type(record)))
                key = getattr(record, known.key).encode()
                headers = (("run", b"run-1"),)
                producer.send(topic(known.name), key=key, value=encode(record), headers=headers)
        producer.flush(30)


def test_killed_in_the_middle_the_board_is_what_a_replay_finds(
    kafka_broker: KafkaBroker, topic_prefix: str, topic: Callable[[str], str], start: Start
) -> None:
    said = [*(each for name in NAMES for each in scores(name)), *alarms("good")]
    records: list[Read] = [*truths(), *said]

    def board() -> dict[str, Evaluation]:
        found = read_state(kafka_broker, topic(EVALUATIONS), Evaluation)
        return {each.algorithm: each for each in found.values()}

    first = start()
    put(kafka_broker, topic, records[: len(records) * 2 // 3])
    eventually(board, timeout_s=60, what="a first board")
    first.kill()
    first.wait()
    with _ending(start()):
        # What a host that was killed published once more.
        put(kafka_broker, topic, records[len(records) // 3 :])
        end_run(kafka_broker, topic_prefix)
        eventually(
            lambda: len(board()) == len(NAMES) and all(each.is_final for each in board().values()),
            timeout_s=60,
            what="the final board",
        )
    replayed = RunEvaluation("run-1")
    for record in records:
        replayed.add(record)
    expected = replayed.evaluations(at_us=0, cost="batch", is_final=True)
    assert {name: repr(replace(each, updated_at_us=0)) for name, each in board().items()} == {
        each.algorithm: repr(each) for each in expected
    }
    cases = read_state(kafka_broker, topic(CASES), Case)
    assert len(cases) == len(FAULTS)


def end_run(broker: KafkaBroker, prefix: str) -> None:
    """Says that the run is over, as the system does."""
    with broker.consumer(group_id=None) as consumer:
        ends = {
            f"{name}/{partition.index}": consumer.offset_range(partition)[1]
            for name in catalogue()
            for partition in consumer.partitions(prefix + name)
        }
    update_run(
        broker,
        "run-1",
        lambda run: replace(run, status="finished", end_offsets=ends),
        process="system",
        clock=lambda: 1,
        topic_prefix=prefix,
    )
