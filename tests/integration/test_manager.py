"""Managers on a real broker: what they promise when containers, managers and hosts fail."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from managers import ASIA, EUROPE, Fleet, fleet

from microservo.adapters.kafka import KafkaBroker
from microservo.adapters.ports import free_ports
from microservo.adapters.processes import python_argv
from microservo.runtime.probe import is_healthy
from microservo.testing import eventually

pytestmark = pytest.mark.integration

SUPPORT = Path(__file__).parents[1] / "support"
WORKER = "worker-asia"


@pytest.fixture
def world(kafka_broker: KafkaBroker, topic_prefix: str) -> Iterator[Fleet]:
    with fleet(kafka_broker, topic_prefix) as found:
        yield found


def test_a_container_that_is_killed_is_back_within_five_seconds(world: Fleet) -> None:
    world.manager()
    world.add_hosts("berlin", "tokyo")
    world.add_service(minimum_replicas=2)
    eventually(lambda: list(world.states().values()) == ["running"] * 2, timeout_s=60)
    victim = min(world.running())
    world.infrastructure.end(victim, -9)
    eventually(
        lambda: len(world.running()) == 2 and victim not in world.running(), timeout_s=5, what="another one"
    )


def test_a_master_that_is_killed_within_a_migration_ends_it_in_its_next_life(world: Fleet) -> None:
    first = world.manager()
    world.client.manager.create("settings/manager", migration_delay_us=5_000_000)
    world.add_hosts("berlin", "tokyo")
    world.add_service()
    (old,) = world.client.manager.launch("front", near=EUROPE, finish_s=60).containers
    (new,) = world.client.manager.migrate(old, near=ASIA, finish_s=60).containers
    first.kill()
    assert set(world.running()) == {old, new}
    world.manager()
    eventually(lambda: world.states() == {new: "running"}, timeout_s=60, what="the old one is stopped")
    assert world.running() == {new: "tokyo"}


def test_a_worker_takes_a_host_over_and_both_know_the_same(world: Fleet) -> None:
    master = world.manager()
    world.client.manager.create(f"worker/{WORKER}", region="Asia")
    worker = world.manager(WORKER)
    world.add_hosts("tokyo")
    world.add_service()
    (name,) = world.client.manager.launch("front", near=ASIA, finish_s=60).containers
    world.client.manager.assign("tokyo", WORKER)
    eventually(lambda: world.client.manager.show(f"container/{name}").owner == WORKER, timeout_s=30)
    world.infrastructure.end(name, -9)
    eventually(lambda: len(world.running()) == 1 and name not in world.running(), timeout_s=5)
    eventually(lambda: master.entities() == worker.entities(), timeout_s=30, what="both know the same")
    assert {event.manager for event in world.client.manager.events() if event.action == "recover"} == {WORKER}


def test_a_manager_process_is_asked_from_the_command_line_and_ends_in_order(
    kafka_broker: KafkaBroker, kafka_bootstrap_servers: str, topic_prefix: str, tmp_path: Path
) -> None:
    with fleet(kafka_broker, topic_prefix):
        (port,) = free_ports(1)
        environment = {
            **os.environ,
            "PYTHONPATH": str(SUPPORT),
            "MICROSERVO_BOOTSTRAP_SERVERS": kafka_bootstrap_servers,
            "MICROSERVO_TOPIC_PREFIX": topic_prefix,
            "MICROSERVO_HEALTH_PORT": str(port),
            "MICROSERVO_MANAGER_DRIVER": "manager_driver:in_memory",
        }

        def manage(*arguments: str) -> subprocess.CompletedProcess[str]:
            argv = [str(Path(sys.executable).with_name("microservo")), "manage", *arguments]
            return subprocess.run(
                argv, env=environment, capture_output=True, text=True, timeout=120, check=False
            )

        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(
                python_argv("services.manager"), env=environment, stdout=log, stderr=log
            )
        try:
            eventually(lambda: is_healthy(f"http://127.0.0.1:{port}"), timeout_s=60, what="it lives")
            host = ("place=edge", "latitude=52.5", "longitude=13.4", "cores=4", "memory_bytes=8e9")
            made = manage("create", "host/berlin", *host, "disk_bytes=1e11")
            assert made.returncode == 0, made.stderr
            assert manage("join", "berlin").returncode == 0
            assert manage("create", "service/front", "type=frontend", "minimum_replicas=1").returncode == 0

            def states() -> list[str]:
                listed = manage("list", "container", "--json").stdout.splitlines()
                return [json.loads(line)["values"]["state"] for line in listed]

            eventually(lambda: states() == ["running"], timeout_s=60, what="the minimum runs")
            refused = manage("drain", "rome")
            assert (refused.returncode, "there is no host 'rome'" in refused.stderr) == (2, True)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0, (tmp_path / "log").read_text()
        finally:
            process.kill()
            process.wait()
        without = manage("drain", "berlin")
        assert (without.returncode, "no manager answered" in without.stderr) == (3, True)


def test_without_a_driver_a_manager_says_what_to_name(
    kafka_bootstrap_servers: str, topic_prefix: str
) -> None:
    environment = {
        **os.environ,
        "MICROSERVO_BOOTSTRAP_SERVERS": kafka_bootstrap_servers,
        "MICROSERVO_TOPIC_PREFIX": topic_prefix,
    }
    ended = subprocess.run(
        python_argv("services.manager"),
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert "no manager_driver is named; give module:function" in ended.stderr + ended.stdout
