"""Managers on a real broker: what they promise when containers, managers and hosts fail."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cut_links import Link
from managers import ASIA, EUROPE, Fleet, fleet

from microservo.adapters.clock import now_us
from microservo.adapters.kafka import KafkaBroker
from microservo.adapters.ports import free_ports
from microservo.adapters.processes import python_argv
from microservo.log.publisher import Publisher
from microservo.runtime.probe import is_healthy
from microservo.testing import eventually
from schemas.records import AnomalyScore, ControlEvent

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


def test_one_that_ends_again_and_again_is_given_up_after_three_times_and_said(world: Fleet) -> None:
    world.manager()
    world.add_hosts("berlin")
    world.add_service(minimum_replicas=1)
    ended: set[str] = set()

    def given_up() -> bool:
        for name in world.running().keys() - ended:
            ended.add(name)
            world.infrastructure.end(name, 1)
        return "given_up" in world.states().values()

    eventually(given_up, timeout_s=120, what="it is given up")
    assert len(ended) == 4, "the first one, and three that were brought back"
    (event,) = [each for each in world.client.manager.events() if each.state == "given_up"]
    assert "brought back 3 times in 10 min" in event.reason
    assert world.running() == {}


def test_a_worker_that_is_cut_off_goes_on_and_what_both_sides_deleted_is_gone_when_it_is_back(
    world: Fleet, kafka_broker: KafkaBroker
) -> None:
    link, manager = Link(kafka_broker), world.client.manager
    master = world.manager()
    manager.create("settings/manager", silence_us=4_000_000)
    manager.create(f"worker/{WORKER}", region="Asia")
    worker = world.manager(WORKER, link)
    world.add_hosts("berlin")
    world.add_hosts("tokyo", worker=WORKER)
    world.add_service()
    manager.create("condition/busy", field="cpu-%", operator=">", value=80.0)
    (far,) = manager.launch("front", near=ASIA, finish_s=60).containers
    eventually(lambda: master.entities() == worker.entities(), timeout_s=30, what="both know the same")
    link.is_cut.set()
    # The worker's side loses a container, and with it the entity; on the master's a condition is deleted.
    world.infrastructure.end(far, -9)
    eventually(
        lambda: far not in world.running() and "tokyo" in world.running().values(),
        timeout_s=30,
        what="the worker has brought it back by itself",
    )
    manager.delete("condition/busy")
    eventually(
        lambda: any(each.action == "silent" for each in manager.events()),
        timeout_s=60,
        what="the master misses the worker",
    )
    assert f"container/{far}" in master.entities()
    assert "condition/busy" in worker.entities()
    link.is_cut.clear()
    eventually(lambda: master.entities() == worker.entities(), timeout_s=60, what="both know the same")
    assert {f"container/{far}", "condition/busy"}.isdisjoint(master.entities())
    eventually(lambda: set(world.states()) == set(world.running()), timeout_s=30)
    assert "tokyo" in world.running().values()


def test_the_scores_of_an_algorithm_have_a_rule_replicate_the_service_that_they_are_of(
    world: Fleet,
) -> None:
    manager = world.client.manager
    world.manager()
    world.add_hosts("berlin", "tokyo")
    for service in ("front", "back"):
        world.add_service(service, minimum_replicas=1)
    eventually(lambda: list(world.states().values()) == ["running"] * 2, timeout_s=60)
    manager.create("condition/odd", field="anomaly-score/robust-z", operator=">", value=3.0)
    rule = {"scope": "service", "generic": True, "decision": "replicate", "conditions": ["odd"]}
    manager.create("rule/odd-rule", **rule)

    def publish(algorithm: str, service: str, score: float) -> None:
        at_us = now_us()
        record = AnomalyScore(
            run_id="run",
            service=service,
            start_us=at_us - 5_000_000,
            end_us=at_us,
            revision=0,
            algorithm=algorithm,
            score=score,
            scored_at_us=at_us,
            latency_us=1000,
        )
        with world.broker.producer() as producer:
            Publisher(producer, "algorithm_host", prefix=world.prefix, clock=now_us).publish(record)
            producer.flush(30)

    def replicated() -> list[ControlEvent]:
        # Neither another algorithm, nor a low score, nor one that is not ready may count.
        publish("random", "back", 9.0)
        publish("robust-z", "back", 1.0)
        publish("robust-z", "front", math.nan)
        publish("robust-z", "front", 5.5)
        return [each for each in manager.events() if each.action == "replicate"]

    eventually(replicated, timeout_s=60, interval_s=1.0, what="a rule that fires")
    found = replicated()
    assert {each.service for each in found} == {"front"}
    assert found[0].rule == "odd-rule"
    assert (list(found[0].fields), list(found[0].values)) == (["anomaly-score/robust-z"], [5.5])
    new = found[0].container
    eventually(lambda: world.states().get(new) == "running", timeout_s=60, what="the replica runs")


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
