"""How what ends is brought back, seen in a world in virtual time."""

from __future__ import annotations

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
    world,
)

from microservo.domain.manager import actions as act
from microservo.domain.manager import events
from microservo.domain.manager.entities import Node
from microservo.domain.manager.entities.hosts import Availability
from microservo.domain.manager.simulation import World


def test_a_killed_container_is_back_near_its_place_within_five_seconds() -> None:
    made = world(host("europe", EUROPE), host("asia", ASIA), front(), container("c", "asia", ASIA))
    made.kill("c")
    made.run(4)
    assert hosts_of(made) == ["asia"]
    assert reports(made, "recover")[0].from_host == "asia"


def test_a_container_that_ends_again_and_again_is_given_up_after_three_and_that_is_said() -> None:
    made = world(host("a", EUROPE), front(), container("c", "a", EUROPE))
    for _ in range(4):
        (name,) = made.running
        made.kill(name)
        made.run(5)
    assert not made.running
    (said,) = reports(made, "recover", "given_up")
    assert "brought back 3 times in 10 min" in said.reason
    assert len(reports(made, "recover")) == 3
    made.run(60)
    assert not made.running, "the minimum does not go round it"
    command(made, "delete", said.entity)
    made.run(5)
    assert len(made.running) == 1, "until somebody has mended it"


def test_ends_that_are_longer_ago_than_ten_minutes_do_not_count() -> None:
    made = world(host("a", EUROPE), front(), container("c", "a", EUROPE))
    for _ in range(6):
        (name,) = made.running
        made.kill(name)
        made.run(210)
    assert len(made.running) == 1
    assert not reports(made, "recover", "given_up")


def test_a_container_that_starts_nowhere_is_given_up_after_five_hosts() -> None:
    made = world(*(host(f"h-{number}", EUROPE) for number in range(8)), front(minimum_replicas=0))
    made.unstartable.add("front")
    command(made, "launch", "service/front", latitude="49", longitude="9")
    made.run(60)
    tried = [launch.container.host for launch in made.actions(act.Launch)]
    assert len(tried) == len(set(tried)) == 5
    assert "5 hosts have failed" in reports(made, "recover", "given_up")[0].reason


def test_a_stateful_service_waits_for_the_host_that_has_its_volume() -> None:
    made = world(
        host("a", EUROPE),
        host("b", EUROPE),
        front(is_stateful=True, minimum_replicas=0),
        container("c", "a", EUROPE),
    )
    made.fail(["a"])
    made.run(30)
    assert not made.running
    assert "waits for a, which has its volume" in reports(made, "recover")[0].reason
    made.down.clear()
    made.tell(events.HostUp(now_us=made.now_us, host="a"))
    made.tell(events.ContainersFound(now_us=made.now_us, host="a", running=frozenset()))
    made.run(5)
    assert hosts_of(made) == ["a"]
    command(made, "migrate", "container/c", host="b")
    assert "has a volume on its host, so it stays" in reports(made, "migrate", "refused")[0].reason


def test_what_ran_on_a_host_that_fails_runs_elsewhere_and_no_host_is_too_full() -> None:
    made = world(
        *(host(name, EUROPE) for name in ("a", "b", "c")),
        front(minimum_replicas=9),
        seconds=30,
    )
    made.fail([hosts_of(made)[0]])
    made.run(30)
    assert len(made.running) == 9
    assert made.violations() == []


def reserved(made: World, name: str) -> float:
    hosts = made.state.columns.hosts()
    return float(hosts.reserved_memory[hosts.rows[name]])


def test_a_launch_that_failed_gives_its_room_back_and_is_tried_on_another_host() -> None:
    made = world(host("a", EUROPE), host("b", ASIA), front(minimum_replicas=0))
    command(made, "launch", "service/front", latitude="49", longitude="9")
    (launch,) = made.actions(act.Launch)
    assert (launch.container.host, reserved(made, "a")) == ("a", GIB)
    made.tell(events.LaunchFailed(now_us=made.now_us, container=launch.container.name, reason="it hangs"))
    assert (reserved(made, "a"), reserved(made, "b")) == (0, GIB)
    made.run(10)
    assert hosts_of(made) == ["b"]
    assert "it hangs on a" in reports(made, "launch")[-1].reason


def test_the_launch_of_a_container_that_serves_by_now_did_not_fail() -> None:
    made = world(host("a", EUROPE), host("b", EUROPE), front(), container("c", "a", EUROPE))
    made.tell(events.LaunchFailed(now_us=made.now_us, container="c", reason="it is not done after 60 s"))
    made.run(10)
    assert (hosts_of(made), made.actions(act.Launch)) == (["a"], [])


def test_one_that_was_given_up_and_starts_all_the_same_is_adopted() -> None:
    made = world(host("a", EUROPE), front(), container("c", "a", EUROPE, state="given_up"))
    assert not made.actions(act.Launch), "it keeps its place"
    made.tell(events.ContainerStarted(now_us=made.now_us, container="c", ports=()))
    assert made.state.containers["c"].state == "running"


def test_how_often_it_was_brought_back_counts_also_where_it_had_to_wait_for_room_meanwhile() -> None:
    # Others forget it then: https://github.com/hashicorp/nomad/issues/12147
    made = world(host("a", EUROPE), front(), container("c", "a", EUROPE))

    def set_node(availability: Availability) -> None:
        node = Node(host="a", availability=availability)
        made.tell(events.EntityChanged(now_us=made.now_us, key="node/a", entity=node, owner="master"))

    for _ in range(4):
        (name,) = made.running
        set_node("pause")
        made.kill(name)
        made.run(6)
        assert not made.running
        set_node("active")
        made.run(12)
    assert not made.running
    (said,) = reports(made, "recover", "given_up")
    assert "brought back 3 times in 10 min" in said.reason


def test_of_hosts_that_are_lost_together_none_takes_what_ran_on_another() -> None:
    made = world(
        *(host(name, EUROPE) for name in ("a", "b", "c")),
        host("far", ASIA),
        front(minimum_replicas=0),
        *(container(f"{name}{number}", name, EUROPE) for name in ("a", "b", "c") for number in range(2)),
    )
    made.fail(["a", "b", "c"])
    made.run(10)
    assert {launch.container.host for launch in made.actions(act.Launch)} == {"far"}
    assert len(made.running) == 6
