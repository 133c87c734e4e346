"""A master that was replaced and does not know it: it may go on, and nobody takes what it writes."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from cut_links import DeafLink
from managers import EUROPE, Fleet, fleet

from microservo.adapters.broker import Broker
from microservo.adapters.kafka import KafkaBroker
from microservo.adapters.ports import free_ports
from microservo.adapters.processes import python_argv
from microservo.domain.manager.changes import MASTER, Change, says_life
from microservo.domain.manager.replica import Replica
from microservo.log.reader import read_state, read_topic
from microservo.log.system_state import change_in
from microservo.runtime.probe import is_healthy
from microservo.testing import eventually
from schemas.catalogue import MANAGER_HEARTBEATS, MANAGER_INPUTS, SYSTEM_STATE
from schemas.codec import decode_as
from schemas.records import ManagerHeartbeat, ManagerInput

pytestmark = pytest.mark.integration

SUPPORT = Path(__file__).parents[1] / "support"
TIMEOUT_S = 120.0


def judged(broker: Broker, prefix: str) -> list[tuple[Change, str]]:
    """All that was ever written of entities, and what everybody makes of it."""
    reader = Replica("reader")
    found = [change_in(message) for message in read_topic(broker, prefix + SYSTEM_STATE)]
    return [(change, reader.read(change).judgement.outcome) for change in found]


def since_replaced(broker: Broker, prefix: str, life_us: int) -> list[str]:
    """What came of all that a life of the master wrote behind the beginning of a later one."""
    found, is_replaced = [], False
    for change, outcome in judged(broker, prefix):
        is_replaced = is_replaced or (says_life(change) and change.life_us > life_us)
        if is_replaced and change.writer == MASTER and change.life_us == life_us:
            found.append(outcome)
    return found


def life_of_master(broker: Broker, prefix: str) -> int:
    return read_state(broker, prefix + MANAGER_HEARTBEATS, ManagerHeartbeat)[MASTER].life_us


@pytest.fixture
def world(kafka_broker: KafkaBroker, topic_prefix: str) -> Iterator[Fleet]:
    with fleet(kafka_broker, topic_prefix) as found:
        yield found


def test_what_a_master_writes_that_has_not_heard_of_its_successor_is_taken_by_nobody(
    world: Fleet, kafka_broker: KafkaBroker
) -> None:
    link = DeafLink(kafka_broker)
    first = world.manager(broker=link)
    world.add_hosts("berlin", "madrid")
    world.add_service()
    (name,) = world.client.manager.launch("front", near=EUROPE, finish_s=TIMEOUT_S).containers
    life_us = first.process.manager.life_us
    link.is_cut.set()
    second = world.manager()
    eventually(
        lambda: life_of_master(world.broker, world.prefix) > life_us,
        timeout_s=TIMEOUT_S,
        what="the second one lives",
    )
    # Both see it end, and each brings it back in its own way.
    world.infrastructure.end(name, -9)
    eventually(
        lambda: "refused" in since_replaced(world.broker, world.prefix, life_us),
        timeout_s=TIMEOUT_S,
        what="the first one writes",
    )
    assert first.is_alive, "it does not know"
    eventually(
        lambda: list(world.states().values()) == ["running"], timeout_s=TIMEOUT_S, what="what the second says"
    )
    assert set(since_replaced(world.broker, world.prefix, life_us)) <= {"refused", "known"}
    first.kill()
    eventually(lambda: set(world.running()) == set(world.states()), timeout_s=TIMEOUT_S)
    entities = {key for key, (_, each) in second.entities().items() if key.startswith("container/")}
    assert entities == {f"container/{name}" for name in world.states()}


@dataclass
class Master:
    """A process that manages, over hosts and containers that are only written down in it."""

    process: subprocess.Popen[bytes]
    log: Path

    def send(self, number: int) -> None:
        self.process.send_signal(number)


@contextmanager
def master(servers: str, prefix: str, folder: Path, name: str) -> Iterator[Master]:
    (port,) = free_ports(1)
    environment = {
        **os.environ,
        "PYTHONPATH": str(SUPPORT),
        "MICROSERVO_BOOTSTRAP_SERVERS": servers,
        "MICROSERVO_TOPIC_PREFIX": prefix,
        "MICROSERVO_HEALTH_PORT": str(port),
        "MICROSERVO_MANAGER_DRIVER": "manager_driver:in_memory",
    }
    path = folder / name
    with path.open("wb") as log:
        process = subprocess.Popen(python_argv("services.manager"), env=environment, stdout=log, stderr=log)
    try:
        eventually(lambda: is_healthy(f"http://127.0.0.1:{port}"), timeout_s=TIMEOUT_S, what=f"{name} lives")
        yield Master(process, path)
    finally:
        process.kill()
        process.wait()


def test_a_master_that_stood_still_while_another_took_its_place_ends_and_has_changed_nothing(
    world: Fleet, kafka_bootstrap_servers: str, tmp_path: Path
) -> None:
    manager, broker, prefix = world.client.manager, world.broker, world.prefix
    with master(kafka_bootstrap_servers, prefix, tmp_path, "first") as first:
        world.add_hosts("berlin")
        manager.create("settings/manager", silence_us=2_000_000)
        world.add_service(minimum_replicas=1)
        eventually(lambda: list(world.states().values()) == ["running"], timeout_s=TIMEOUT_S)
        life_us = life_of_master(broker, prefix)
        first.send(signal.SIGSTOP)
        with master(kafka_bootstrap_servers, prefix, tmp_path, "second"):
            eventually(lambda: life_of_master(broker, prefix) > life_us, timeout_s=TIMEOUT_S)
            # Hosts are written down in the first process alone, so what ran there comes back on a new one.
            world.add_hosts("madrid")
            eventually(lambda: list(world.states().values()) == ["running"], timeout_s=TIMEOUT_S)
            (runs,) = world.states()
            manager.create("condition/busy", field="cpu-%", operator=">", value=80.0)
            before = told_by(broker, prefix, life_us)
            first.send(signal.SIGCONT)
            assert first.process.wait(TIMEOUT_S) == 1
            assert "a later process manages as 'master', so this one ends" in first.log.read_text()
            assert set(since_replaced(broker, prefix, life_us)) <= {"refused", "known"}
            assert told_by(broker, prefix, life_us) == before, "it has decided nothing that it published"
            assert world.states() == {runs: "running"}
            manager.delete("condition/busy")


def told_by(broker: Broker, prefix: str, life_us: int) -> int:
    """How much a life of the master has published of what it was told."""
    found = [
        decode_as(ManagerInput, each.value or b"") for each in read_topic(broker, prefix + MANAGER_INPUTS)
    ]
    return sum(each.life_us == life_us for each in found)
