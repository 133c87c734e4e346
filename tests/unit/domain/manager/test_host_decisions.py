"""What the manager decides about hosts and regions, seen in a world in virtual time."""

from __future__ import annotations

from decided import (
    AMERICA,
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
from microservo.domain.manager.entities import (
    Service,
    Settings,
)
from microservo.domain.manager.simulation import World


def hot_hosts() -> World:
    return world(
        host("a", EUROPE, is_managers=True),
        host("b", EUROPE),
        host("c", EUROPE),
        front(minimum_replicas=0),
        Service(name="quiet", memory_bytes=1 * GIB),
        container("c-1", "b", EUROPE),
        container("q-1", "b", EUROPE, "quiet"),
        rule("overload", ">", 90.0, scope="host"),
        demand=requests(3700.0, EUROPE),
        seconds=12,
    )


def test_an_overloaded_host_gives_away_the_container_whose_move_helps_most() -> None:
    made = hot_hosts()
    assert not reports(made, "migrate"), "three evaluations are needed"
    made.run(12)
    (moved,) = reports(made, "migrate")
    assert (moved.service, moved.from_host, moved.rule) == ("front", "b", "overload-rule")
    assert "of the excess" in moved.reason


def test_an_underloaded_host_is_drained_and_released_but_not_the_managers_own_or_the_last() -> None:
    made = world(
        host("a", EUROPE, is_managers=True),
        host("b", EUROPE, is_ours=True),
        host("c", EUROPE),
        front(minimum_replicas=0),
        container("c-1", "b", EUROPE),
        rule("underload", "<", 5.0, scope="host"),
        Settings(minimum_hosts=2),
        seconds=120,
    )
    assert sorted(made.state.nodes) == ["a", "c"]
    assert len(made.running) == 1
    assert hosts_of(made) != ["b"]
    assert [(leave.host, leave.stops) for leave in made.actions(act.LeaveHost)] == [("b", True)]
    assert made.state.hosts["b"].state == "off"
    made.run(300)
    assert sorted(made.state.nodes) == ["a", "c"], "two are kept"


def test_a_host_that_others_brought_is_left_running_when_it_is_released() -> None:
    made = world(host("a", EUROPE, is_managers=True), host("b", EUROPE), front(minimum_replicas=0))
    command(made, "leave", "host/b")
    assert [(leave.host, leave.stops) for leave in made.actions(act.LeaveHost)] == [("b", False)]


def test_an_inactive_edge_host_alone_is_chosen_started_and_joined() -> None:
    made = world(host("far", AMERICA), host("near", EUROPE, node=False, state="off"), front(), seconds=60)
    assert hosts_of(made) == ["near"]
    kinds = [type(action) for wanted in made.decisions for action in wanted]
    assert kinds.index(act.StartHost) < kinds.index(act.JoinHost) < kinds.index(act.Launch)


def test_a_new_instance_is_launched_only_where_it_may_be() -> None:
    for may, expected in ((False, ["far"]), (True, ["i-0"])):
        made = world(host("far", AMERICA), front(), Settings(may_launch_instances=may), seconds=60)
        assert hosts_of(made) == expected


def test_components_come_with_the_first_container_of_a_region_and_go_five_minutes_after_the_last() -> None:
    balancer = Service(name="nginx", type="system", component="load-balancer", memory_bytes=0.01 * GIB)
    made = world(host("a", EUROPE), host("b", ASIA), front(minimum_replicas=0), balancer)
    command(made, "launch", "service/front", host="a")
    made.run(10)
    assert hosts_of(made, "nginx") == ["a"]
    (name,) = (each.name for each in made.running.values() if each.service == "front")
    command(made, "stop", f"container/{name}")
    made.run(295)
    assert hosts_of(made, "nginx") == ["a"]
    made.run(10)
    assert hosts_of(made, "nginx") == []


def test_the_removal_of_components_is_cancelled_when_containers_come_back() -> None:
    balancer = Service(name="nginx", type="system", component="load-balancer", memory_bytes=0.01 * GIB)
    made = world(host("a", EUROPE), front(minimum_replicas=0), balancer)
    command(made, "launch", "service/front", host="a")
    made.run(10)
    (name,) = (each.name for each in made.running.values() if each.service == "front")
    command(made, "stop", f"container/{name}")
    made.run(100)
    assert [each.task for each in made.state.pending.values()] == ["remove-components"]
    command(made, "launch", "service/front", host="a")
    made.run(400)
    assert hosts_of(made, "nginx") == ["a"]
    assert not made.state.pending
