"""A master and a worker: whom each host obeys, and what becomes of it where one of them is cut off."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cut_links import Link
from managers import ASIA, EUROPE, Fleet, RunningManager, fleet

from microservo.testing import MemoryBroker, eventually

WORKER = "worker-asia"


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker()


@pytest.fixture
def world(broker: MemoryBroker) -> Iterator[Fleet]:
    with fleet(broker) as found:
        yield found


def started(world: Fleet, link: Link) -> tuple[RunningManager, RunningManager]:
    """Master and worker with a host each."""
    master = world.manager()
    world.client.manager.create("settings/manager", silence_us=4_000_000)
    world.client.manager.create(f"worker/{WORKER}", region="Asia")
    worker = world.manager(WORKER, link)
    world.add_hosts("berlin")
    world.add_hosts("tokyo", worker=WORKER)
    world.add_service()
    return master, worker


def owner_of(world: Fleet, key: str) -> str:
    return world.client.manager.show(key).owner


def agree(*managers: RunningManager) -> bool:
    first, *others = [each.entities() for each in managers]
    return all(each == first for each in others)


def test_a_worker_launches_and_brings_back_what_is_on_its_hosts(world: Fleet, broker: MemoryBroker) -> None:
    master, worker = started(world, Link(broker))
    (name,) = world.client.manager.launch("front", near=ASIA, finish_s=20).containers
    assert world.running() == {name: "tokyo"}
    assert owner_of(world, f"container/{name}") == WORKER
    world.infrastructure.end(name, -9)
    eventually(
        lambda: set(world.running().values()) == {"tokyo"} and name not in world.running(), timeout_s=5
    )
    recovered = [event for event in world.client.manager.events() if event.action == "recover"]
    assert {event.manager for event in recovered} == {WORKER}
    eventually(lambda: agree(master, worker), timeout_s=10, what="both know the same")


def test_the_minimum_is_not_exceeded_where_a_worker_brings_a_container_back(
    world: Fleet, broker: MemoryBroker
) -> None:
    master, worker = started(world, Link(broker))
    names = [world.client.manager.launch("front", near=ASIA, finish_s=20).containers[0] for _ in range(2)]
    world.client.manager.update("service/front", minimum_replicas=2)
    world.infrastructure.end(names[0], -9)
    eventually(
        lambda: names[0] not in world.running() and len(world.running()) >= 2,
        timeout_s=10,
        what="the worker has brought it back",
    )
    eventually(lambda: agree(master, worker), timeout_s=10, what="both know the same")
    # What the master answers behind that, it has decided with all of it.
    world.client.manager.create("condition/busy", field="cpu-%", operator=">", value=80.0)
    assert len(world.states()) == 2
    assert set(world.running().values()) == {"tokyo"}


def test_a_host_changes_hands_with_what_runs_on_it_and_nothing_is_interrupted(
    world: Fleet, broker: MemoryBroker
) -> None:
    master, worker = started(world, Link(broker))
    (name,) = world.client.manager.launch("front", near=EUROPE, finish_s=20).containers
    world.client.manager.assign("berlin", WORKER)
    eventually(lambda: owner_of(world, f"container/{name}") == WORKER, timeout_s=10)
    assert owner_of(world, "host/berlin") == owner_of(world, "node/berlin") == WORKER
    eventually(lambda: agree(master, worker), timeout_s=10, what="both know the same")
    world.infrastructure.end(name, -9)
    eventually(lambda: len(world.running()) == 1 and name not in world.running(), timeout_s=5)
    world.client.manager.assign("berlin")
    eventually(lambda: owner_of(world, "host/berlin") == "master", timeout_s=10)
    eventually(lambda: agree(master, worker), timeout_s=10, what="both know the same")
    assert len(world.running()) == 1


def test_a_worker_that_is_cut_off_goes_on_and_both_sides_agree_when_it_is_back_deletions_too(
    world: Fleet, broker: MemoryBroker
) -> None:
    link = Link(broker)
    master, worker = started(world, link)
    world.client.manager.create("condition/busy", field="cpu-%", operator=">", value=80.0)
    (far,) = world.client.manager.launch("front", near=ASIA, finish_s=20).containers
    (near,) = world.client.manager.launch("front", near=EUROPE, finish_s=20).containers
    eventually(lambda: agree(master, worker), timeout_s=10)
    link.is_cut.set()
    # On one side a container ends, whose entity goes; on the other side a condition is deleted.
    world.infrastructure.end(far, -9)
    eventually(
        lambda: far not in world.running() and "tokyo" in world.running().values(),
        timeout_s=10,
        what="the worker has brought it back by itself",
    )
    world.client.manager.delete("condition/busy")
    silent = lambda: [e for e in world.client.manager.events() if e.action == "silent"]  # noqa: E731
    eventually(silent, timeout_s=15, what="the master misses the worker")
    assert f"container/{far}" in master.entities()
    assert "condition/busy" in worker.entities()
    link.is_cut.clear()
    eventually(lambda: agree(master, worker), timeout_s=20, what="both know the same")
    assert f"container/{far}" not in master.entities()
    assert "condition/busy" not in worker.entities()
    assert set(world.states()) == set(world.running())
    assert near in world.running()


def test_while_the_master_is_away_a_worker_keeps_the_minimum_on_its_own_hosts(
    world: Fleet, broker: MemoryBroker
) -> None:
    master, _ = started(world, Link(broker))
    world.client.manager.update("service/front", minimum_replicas=1)
    eventually(lambda: len(world.running()) == 1, timeout_s=20)
    (name,) = world.running()
    master.kill()
    if world.running()[name] == "berlin":
        world.infrastructure.fail_host("berlin", is_down=True)
    else:
        world.infrastructure.end(name, -9)
    eventually(lambda: "tokyo" in world.running().values(), timeout_s=30, what="one in Asia")


def test_a_host_that_failed_when_its_worker_had_ended_is_down_once_the_master_gets_it(
    world: Fleet, broker: MemoryBroker
) -> None:
    _, worker = started(world, Link(broker))
    (name,) = world.client.manager.launch("front", near=ASIA, finish_s=20).containers
    worker.kill()
    world.infrastructure.stop_host("tokyo")
    assert world.states() == {name: "running"}
    world.client.manager.assign("tokyo")
    eventually(
        lambda: list(world.running().values()) == ["berlin"] and list(world.states().values()) == ["running"],
        timeout_s=30,
        what="what ran there running elsewhere",
    )
    assert world.client.manager.show("host/tokyo").values["state"] == "down"
