"""Who manages what, over restarts and silence, seen in a world in virtual time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from decided import (
    ASIA,
    EUROPE,
    GIB,
    command,
    container,
    front,
    host,
    hosts_of,
    reports,
    requests,
    rule,
    world,
)

from microservo.domain.manager import actions as act
from microservo.domain.manager import events
from microservo.domain.manager.decide import decide
from microservo.domain.manager.entities import (
    Dependency,
    Entity,
    Host,
    Node,
    PendingAction,
    Service,
    Worker,
    entity_key,
)
from microservo.domain.manager.entities.containers import ContainerState
from microservo.domain.manager.simulation import World
from microservo.domain.manager.state import SystemState


def restarted(made: World) -> World:
    """Another manager that knows only what lies on the topic of states."""
    found = [entity for kind in made.state.entities.values() for entity in kind.values()]
    again = World(found)
    again.now_us = made.now_us
    again.running = dict(made.running)
    return again


def test_a_master_that_is_killed_in_the_middle_of_a_migration_finishes_it() -> None:
    made = world(host("a", EUROPE), host("b", EUROPE), front(), container("c", "a", EUROPE))
    command(made, "migrate", "container/c", host="b")
    made.run(10)
    assert isinstance(next(iter(made.state.pending.values())), PendingAction)
    again = restarted(made)
    again.run(60)
    assert hosts_of(again) == ["b"]
    assert not again.state.pending


def test_a_container_that_was_decided_and_not_launched_before_a_kill_is_launched_at_once() -> None:
    made = world(host("a", EUROPE), front(minimum_replicas=0), container("c", "a", EUROPE, state="starting"))
    assert [each.container.name for each in made.actions(act.Launch)] == ["c"]


def test_a_database_that_was_decided_with_a_container_and_is_not_on_the_log_is_launched_beside_it() -> None:
    made = world(
        host("a", EUROPE),
        front(minimum_replicas=0),
        Service(name="store", type="database"),
        Dependency(service="front", dependency="store"),
        container("c", "a", EUROPE, state="starting"),
    )
    assert sorted(each.service for each in made.running.values()) == ["front", "store"]


def test_what_was_replaced_serves_until_the_database_of_its_replacement_runs() -> None:
    made = world(
        host("a", EUROPE),
        host("b", EUROPE),
        front(minimum_replicas=0),
        Service(name="store", type="database"),
        Dependency(service="front", dependency="store"),
        container("old", "a", EUROPE),
        container("new", "b", EUROPE, replaces="old"),
        container("store-1", "b", EUROPE, "store", state="starting"),
        PendingAction(name="stop:old", task="stop", subject="old", due_us=1),
        seconds=60,
    )
    found = [each.event for each in made.actions(act.Report)]
    started = next(
        each.at_us for each in found if each.entity == "container/store-1" and each.state == "done"
    )
    stopped = next(each.at_us for each in found if each.entity == "container/old" and each.action == "stop")
    assert started <= stopped
    assert sorted(each.name for each in made.running.values()) == ["new", "store-1"]


def test_who_ends_in_order_stops_what_it_manages_and_launches_nothing_in_its_place() -> None:
    made = world(
        host("a", EUROPE),
        front(minimum_replicas=2),
        container("c", "a", EUROPE),
        container("theirs", "a", EUROPE, managed_by=""),
    )
    launched = len(made.actions(act.Launch))
    made.tell(events.Ending(now_us=made.now_us))
    made.run(30)
    assert "c" in {each.container for each in made.actions(act.Stop)}
    assert len(made.actions(act.Launch)) == launched
    assert [each.name for each in made.state.containers.values()] == ["theirs"]


def workers() -> World:
    return world(
        host("a", EUROPE),
        host("b", ASIA, worker="w-asia"),
        Worker(name="w-asia", region="Asia"),
        front(minimum_replicas=2),
        container("c-1", "a", EUROPE),
        container("c-2", "b", ASIA, managed_by="w-asia"),
        container("c-3", "b", ASIA, managed_by="w-asia"),
    )


def test_a_worker_silent_for_a_minute_counts_as_down_and_only_what_is_really_there_comes_back() -> None:
    made = workers()
    made.tell(events.Heartbeat(now_us=made.now_us, name="w-asia"))
    made.run(58)
    assert made.state.replicas("front") == 3
    made.run(3)
    assert len(reports(made, "silent")) == 1
    made.run(5)
    assert made.state.replicas("front") == 2, "the minimum holds without it"
    made.tell(events.Heartbeat(now_us=made.now_us, name="w-asia", running=frozenset({"c-2"})))
    assert made.state.replicas("front") == 3
    assert "c-3" not in made.state.containers


def test_a_worker_that_was_never_heard_since_the_master_was_started_is_silent_after_a_minute() -> None:
    made = workers()
    made.run(52)
    assert reports(made, "silent") == []
    made.run(10)
    (report,) = reports(made, "silent")
    assert report.entity == "worker/w-asia"
    assert made.state.replicas("front") < 3


def test_the_master_leaves_a_workers_containers_to_it() -> None:
    made = workers()
    made.tell(events.ContainerEnded(now_us=made.now_us, container="c-2"))
    assert not made.actions(act.Launch)
    command(made, "stop", "container/c-2")
    assert not made.actions(act.Stop)


def told(name: str, *entities: Entity) -> SystemState:
    """What a manager knows that has read these entities, and the measurements of their hosts."""
    state = SystemState(name)
    for each in entities:
        decide(state, changed(each))
    decide(state, events.CaughtUp(now_us=1))
    hosts = tuple(each.name for each in entities if isinstance(each, Host))
    columns = {"cpu-%": 1.0, "ram-available": 8 * GIB, "disk-available": 100 * GIB}
    measured = {field: np.full(len(hosts), value) for field, value in columns.items()}
    decide(state, events.HostsMeasured(now_us=1, names=hosts, columns=measured))
    return state


def changed(entity: Entity) -> events.EntityChanged:
    owner = getattr(entity, "managed_by", "") or getattr(entity, "worker", "") or "master"
    return events.EntityChanged(now_us=1, key=entity_key(entity), entity=entity, owner=owner)


def read_on(reader: SystemState, written: Iterable[act.Action]) -> None:
    """Has a manager read what another one has written: one change after the other, deciding behind each."""
    for action in written:
        if isinstance(action, act.Put):
            key, entity = entity_key(action.entity), action.entity
            change = events.EntityChanged(now_us=3, key=key, entity=entity, owner=action.owner)
            decide(reader, change)
        elif isinstance(action, act.Remove):
            decide(reader, events.EntityChanged(now_us=3, key=action.key, entity=None, owner=""))


@pytest.mark.parametrize("minimum", [1, 3])
@pytest.mark.parametrize(
    ("state", "event"),
    [
        ("running", events.ContainerEnded(now_us=2, container="c-0", reason="it was killed")),
        ("starting", events.LaunchFailed(now_us=2, container="c-0", reason="it does not start")),
        ("running", events.HostsDown(now_us=2, names=("b",), reason="it does not answer")),
        ("starting", events.HostsDown(now_us=2, names=("b",), reason="it does not answer")),
    ],
)
def test_the_master_adds_no_replica_while_a_worker_brings_one_back(
    minimum: int, state: ContainerState, event: events.Event
) -> None:
    mine = (*host("b", ASIA, worker="w-asia"), *host("c", ASIA, worker="w-asia"))
    rest = [container(f"c-{number}", "c", ASIA, managed_by="w-asia") for number in range(1, minimum)]
    first = container(
        "c-0", "b", ASIA, managed_by="w-asia", state=state, started_at_us=int(state == "running")
    )
    entities = (*mine, *host("a", EUROPE), front(minimum_replicas=minimum), first, *rest)
    master, worker = told("master", *entities), told("w-asia", *entities)
    read_on(master, decide(worker, event))
    assert "c-0" not in master.containers
    assert set(master.containers) == set(worker.containers)
    assert master.replicas("front") == minimum


def test_what_waits_for_room_at_a_worker_keeps_its_place_with_the_master_too() -> None:
    full = front(memory_bytes=20 * GIB)
    entities = (*host("b", ASIA, worker="w-asia"), *host("a", EUROPE), full)
    ended = container("c-0", "b", ASIA, managed_by="w-asia")
    master, worker = told("master", *entities, ended), told("w-asia", *entities, ended)
    written = decide(worker, events.ContainerEnded(now_us=2, container="c-0", reason="it was killed"))
    assert not [each for each in written if isinstance(each, act.Remove)]
    decide(master, changed(replace(master.hosts["a"], memory_bytes=64 * GIB)))
    columns = {"cpu-%": 1.0, "ram-available": 64 * GIB, "disk-available": 100 * GIB}
    measured = {field: np.full(1, value) for field, value in columns.items()}
    decide(master, events.HostsMeasured(now_us=1, names=("a",), columns=measured))
    read_on(master, written)
    assert {name: each.state for name, each in master.containers.items()} == {"c-0": "down"}


def test_a_container_whose_next_incarnation_is_known_is_not_brought_back_again() -> None:
    made = world(
        host("a", EUROPE),
        front(minimum_replicas=0),
        container("old", "a", EUROPE, state="down", recovers="old"),
        container("new", "a", EUROPE, recovers="old"),
        seconds=30,
    )
    assert list(made.state.containers) == ["new"], "the deletion of the old one was cut off by kill -9"


def test_assigning_a_host_moves_its_node_and_containers_with_it() -> None:
    made = world(host("a", EUROPE), Worker(name="w", region="Europe"), front(), container("c", "a", EUROPE))
    command(made, "assign", "host/a", worker="w")
    assert [(each.key, each.owner) for each in made.actions(act.Assign)] == [
        ("host/a", "w"),
        ("node/a", "w"),
        ("container/c", "w"),
    ]
    assert made.state.containers["c"].managed_by == "w"
    command(made, "assign", "host/a", worker="nobody")
    assert "there is no worker 'nobody'; take one of w" in reports(made, "assign", "refused")[0].reason


def test_what_waits_for_room_is_tried_again_by_whoever_manages_it_and_by_nobody_else() -> None:
    made = world(host("a", EUROPE), Worker(name="w", region="Europe"), front(), container("c", "a", EUROPE))
    full, free = (Node(host="a", availability=each) for each in ("pause", "active"))
    made.tell(events.EntityChanged(now_us=made.now_us, key="node/a", entity=full, owner="master"))
    made.kill("c")
    made.run(6)
    (down,) = made.state.containers.values()
    assert down.state == "down"
    theirs, ours = replace(down, managed_by="w"), replace(down, managed_by="master")
    key = f"container/{down.name}"
    made.tell(events.EntityChanged(now_us=made.now_us, key=key, entity=theirs, owner="w"))
    made.tell(events.EntityChanged(now_us=made.now_us, key="node/a", entity=free, owner="master"))
    made.run(12)
    assert made.state.containers[down.name] == theirs
    assert not made.running
    made.tell(events.EntityChanged(now_us=made.now_us, key=key, entity=ours, owner="master"))
    made.run(12)
    assert hosts_of(made) == ["a"]


def test_what_others_started_is_never_touched() -> None:
    made = world(
        host("a", EUROPE),
        host("b", EUROPE),
        front(minimum_replicas=0),
        container("theirs", "a", EUROPE, managed_by=""),
        *[rule(decision, ">", 0.0) for decision in ("replicate", "migrate", "stop")],
        rule("overload", ">", 0.0, scope="host"),
        demand=requests(100.0, EUROPE),
        seconds=120,
    )
    command(made, "stop", "container/theirs")
    assert "was started by others" in reports(made, "stop", "refused")[0].reason
    assert list(made.running) == ["theirs"]
    assert not made.actions(act.Stop)
