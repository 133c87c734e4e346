"""A region gets its registry, its balancer and its worker with its first container, as real processes.

They go after its last container, and stay where one comes back before that.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from balancer_server import need_nginx
from machine import TIMEOUT_S, Machine, machine_of
from managers import ASIA

from microservo import RegistryClient
from microservo.adapters.kafka import KafkaBroker
from microservo.errors import Retryable
from microservo.testing import eventually

pytestmark = pytest.mark.integration

TOPOLOGY = """
name = "one"
entry = "back"
[services.back.endpoints.Work]
cpu_ms = 1.0
"""
COMPONENTS = {"region-registry", "region-balancer", "region-worker"}
KINDS = ("load-balancer", "registration-server", "worker")


@pytest.fixture
def machine(
    kafka_broker: KafkaBroker, kafka_bootstrap_servers: str, topic_prefix: str, tmp_path: Path
) -> Iterator[Machine]:
    need_nginx()
    environment = {
        "MICROSERVO_BOOTSTRAP_SERVERS": kafka_bootstrap_servers,
        "MICROSERVO_TOPIC_PREFIX": topic_prefix,
    }
    with machine_of(kafka_broker, topic_prefix, tmp_path, TOPOLOGY, environment=environment) as found:
        yield found


def components(machine: Machine) -> dict[str, str]:
    """Names of the components that are ready, by service, all of them on the host in Asia."""
    found = [each for each in machine.world.driver.containers() if each.service in COMPONENTS]
    assert {each.host for each in found} <= {"tokyo"}
    return {each.service: each.id for each in found if each.ready}


def address(machine: Machine, service: str) -> str:
    (found,) = machine.addresses(service)
    return found


def registered(machine: Machine) -> dict[str, str]:
    """States of the containers that the region's registry knows, by id."""
    with RegistryClient(f"http://{address(machine, 'region-registry')}", token=machine.token) as registry:
        try:
            return {each.instance_id: each.state for each in registry.endpoints("back")}
        except Retryable:
            return {}


def is_routed(machine: Machine) -> bool:
    """Whether a user's request to the region's balancer reaches a container."""
    with requests.Session() as session:
        session.trust_env = False
        url = f"http://{address(machine, 'region-balancer')}/back/Work"
        return session.post(url, timeout=TIMEOUT_S).status_code == 200


def running(machine: Machine) -> list[str]:
    """Names of the containers that run but for components."""
    return [name for name in machine.world.running() if name.startswith("back-")]


def entities(machine: Machine) -> list[str]:
    manager = machine.world.client.manager
    return sorted(str(each.values["container"]) for kind in KINDS for each in manager.list(kind))


def is_open(where: str) -> bool:
    """Whether anybody takes connections at host:port."""
    host, _, port = where.rpartition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def pending(machine: Machine) -> list[str]:
    return [each.name for each in machine.world.client.manager.list("pending-action")]


def test_components_come_with_the_first_container_are_adopted_and_go_after_the_last(machine: Machine) -> None:
    world, manager = machine.world, machine.world.client.manager
    first = world.manager()
    manager.create("settings/manager", component_grace_us=600_000_000)
    world.add_hosts("berlin", "tokyo")
    manager.seed(str(machine.topology))
    assert set(manager.seed_components()) == {f"service/{name}" for name in COMPONENTS}
    assert manager.seed_components() == ()
    assert components(machine) == {}

    manager.launch("back", host="tokyo", finish_s=TIMEOUT_S)
    eventually(
        lambda: components(machine).keys() == COMPONENTS, timeout_s=TIMEOUT_S, what="the region's components"
    )
    (back,) = running(machine)
    eventually(lambda: registered(machine) == {back: "up"}, timeout_s=TIMEOUT_S, what="its registration")
    eventually(lambda: is_routed(machine), timeout_s=TIMEOUT_S, what="a request through the balancer")
    eventually(
        lambda: entities(machine) == sorted(components(machine).values()),
        timeout_s=TIMEOUT_S,
        what="the components among the entities",
    )

    launched = components(machine)
    first.kill()
    second = world.manager()
    eventually(lambda: second.entities() != {}, timeout_s=TIMEOUT_S, what="the next life")
    manager.stop(back, finish_s=TIMEOUT_S)
    eventually(lambda: pending(machine) == ["remove-components:Asia"], timeout_s=TIMEOUT_S, what="the timer")
    assert components(machine) == launched, "the next life has adopted them"
    eventually(lambda: registered(machine) == {}, timeout_s=TIMEOUT_S, what="the registration being gone")

    manager.launch("back", near=ASIA, finish_s=TIMEOUT_S)
    eventually(lambda: pending(machine) == [], timeout_s=TIMEOUT_S, what="the timer being cancelled")
    assert components(machine) == launched
    eventually(lambda: is_routed(machine), timeout_s=TIMEOUT_S, what="requests to the one that came back")

    where = [address(machine, name) for name in COMPONENTS]
    assert all(map(is_open, where))
    manager.update("settings/manager", component_grace_us=1_000_000)
    (back,) = running(machine)
    manager.stop(back, finish_s=TIMEOUT_S)
    eventually(lambda: world.running() == {}, timeout_s=TIMEOUT_S, what="the components being gone")
    eventually(lambda: not any(map(is_open, where)), timeout_s=TIMEOUT_S, what="their ports being closed")
    eventually(lambda: entities(machine) == [], timeout_s=TIMEOUT_S, what="no such entities any more")


def test_components_and_containers_that_are_killed_are_replaced_and_known_to_each_other(
    machine: Machine,
) -> None:
    world, manager = machine.world, machine.world.client.manager
    world.manager()
    world.add_hosts("tokyo")
    manager.seed(str(machine.topology))
    manager.update("service/back", minimum_replicas=1)
    manager.seed_components()
    eventually(
        lambda: components(machine).keys() == COMPONENTS and len(running(machine)) == 1,
        timeout_s=TIMEOUT_S,
        what="the region's components",
    )
    (back,) = running(machine)
    eventually(lambda: registered(machine) == {back: "up"}, timeout_s=TIMEOUT_S, what="its registration")

    os.kill(machine.pid(back), signal.SIGKILL)
    eventually(
        lambda: list(registered(machine).values()) == ["up"] and back not in registered(machine),
        timeout_s=TIMEOUT_S,
        what="the next incarnation being registered, and the killed one not",
    )
    eventually(lambda: is_routed(machine), timeout_s=TIMEOUT_S, what="requests to the next incarnation")

    before = components(machine)
    for name in before.values():
        machine.kill(name)
    eventually(
        lambda: (
            (now := components(machine)).keys() == COMPONENTS and not set(now.values()) & set(before.values())
        ),
        timeout_s=TIMEOUT_S,
        what="components in place of those that were killed",
    )
    (back,) = running(machine)
    eventually(lambda: registered(machine) == {back: "up"}, timeout_s=TIMEOUT_S, what="its registration")
    eventually(lambda: is_routed(machine), timeout_s=TIMEOUT_S, what="requests through the next balancer")


def test_the_worker_of_a_region_manages_what_it_is_assigned_and_gives_it_back(machine: Machine) -> None:
    world, manager = machine.world, machine.world.client.manager
    world.manager()
    manager.create("settings/manager", component_grace_us=1_000_000)
    world.add_hosts("tokyo")
    manager.seed(str(machine.topology))
    manager.seed_components()
    manager.launch("back", host="tokyo", finish_s=TIMEOUT_S)
    eventually(
        lambda: [each.name for each in manager.list("worker")] == ["worker-asia"],
        timeout_s=TIMEOUT_S,
        what="the worker",
    )
    manager.assign("tokyo", "worker-asia")
    (back,) = running(machine)
    os.kill(machine.pid(back), signal.SIGKILL)
    eventually(
        lambda: any(
            (each.action, each.manager, each.container != back, each.state)
            == ("launch", "worker-asia", True, "done")
            for each in manager.events()
        ),
        timeout_s=TIMEOUT_S,
        what="the worker having launched another one",
    )
    (back,) = running(machine)
    manager.stop(back, finish_s=TIMEOUT_S)
    eventually(lambda: world.running() == {}, timeout_s=TIMEOUT_S, what="the components being gone")
    (host,) = [each.values for each in manager.list("host")]
    assert (host["worker"], host["state"]) == ("", "running")
    manager.launch("back", host="tokyo", finish_s=TIMEOUT_S)
    assert [
        each.values["managed_by"] for each in manager.list("container") if each.name.startswith("back")
    ] == ["master"]
