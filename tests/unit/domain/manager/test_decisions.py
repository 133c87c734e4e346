"""What the manager decides, seen in a world in virtual time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest

from microservo.domain.geography import SEVEN_REGIONS, Coordinates, distance_m
from microservo.domain.manager import actions as act
from microservo.domain.manager import events
from microservo.domain.manager.decide import decide
from microservo.domain.manager.entities import (
    App,
    AppService,
    Container,
    Dependency,
    Entity,
    Host,
    NamedCondition,
    NamedRule,
    Node,
    PendingAction,
    Port,
    Prediction,
    Service,
    Settings,
    Worker,
    entity_key,
)
from microservo.domain.manager.simulation import Delays, Demand, Origin, World
from microservo.domain.manager.simulation.world import FIRST_US, SECOND_US
from microservo.domain.manager.state import SystemState
from schemas.records import ControlAction, ControlCommand, ControlEvent

GIB = float(1 << 30)
CENTRES = {region.name: region.centre for region in SEVEN_REGIONS}
EUROPE, ASIA, AMERICA = (CENTRES[name] for name in ("Europe", "Asia", "North America"))


def host(name: str, place: Coordinates, *, node: bool = True, **values: object) -> list[Entity]:
    made = Host(
        name=name,
        place="edge",
        latitude=place.latitude,
        longitude=place.longitude,
        state="running",
        memory_bytes=8 * GIB,
        cores=4.0,
        disk_bytes=100 * GIB,
    )
    return [replace(made, **values), *([Node(host=name)] if node else [])]  # type: ignore[arg-type]


def rule(decision: str, operator: str, value: float, *, scope: str = "service") -> list[Entity]:
    condition = NamedCondition(name=f"{decision}-if", field="cpu-%", operator=operator, value=value)  # type: ignore[arg-type]
    named = NamedRule(
        name=f"{decision}-rule",
        scope=scope,  # type: ignore[arg-type]
        generic=True,
        decision=decision,  # type: ignore[arg-type]
        conditions=(condition.name,),
    )
    return [condition, named]


def front(**values: object) -> Service:
    made = Service(name="front", type="frontend", memory_bytes=1 * GIB, cores=0.1, minimum_replicas=1)
    return replace(made, **values)  # type: ignore[arg-type]


def container(name: str, on: str, place: Coordinates, service: str = "front", **values: object) -> Container:
    made = Container(
        name=name,
        service=service,
        host=on,
        state="running",
        latitude=place.latitude,
        longitude=place.longitude,
        managed_by="master",
        started_at_us=1,
    )
    return replace(made, **values)  # type: ignore[arg-type]


def world(*entities: Entity | Iterable[Entity], demand: Demand | None = None, seconds: float = 6) -> World:
    found: list[Entity] = []
    for each in entities:
        found += each if isinstance(each, list) else [each]  # type: ignore[list-item]
    made = World(found, demand=demand)
    made.run(seconds)
    return made


def reports(made: World, action: str, state: str = "decided") -> list[ControlEvent]:
    found = [report.event for report in made.actions(act.Report)]
    return [event for event in found if event.action == action and event.state == state]


def hosts_of(made: World, service: str = "front") -> list[str]:
    return sorted(each.host for each in made.running.values() if each.service == service)


def command(made: World, action: ControlAction, entity: str, document: str = "", **arguments: str) -> None:
    given = ControlCommand(
        command_id=f"{action}-{len(made.events)}",
        entity=entity,
        action=action,
        requested_at_us=made.now_us,
        requested_by="ana",
        arguments=arguments,
        document=document,
    )
    made.tell(events.CommandGiven(now_us=made.now_us, command=given))


def test_what_can_not_be_done_does_not_keep_a_service_from_what_can() -> None:
    more = [
        replace(each, priority=1) if isinstance(each, NamedRule) else each
        for each in rule("replicate", ">", 40.0)
    ]
    # Two processors are busy for each: 50 % of the small host, 12.5 % of the large one.
    made = world(
        front(),
        host("small", EUROPE),
        host("large", EUROPE, cores=16.0),
        container("asks-for-more", "small", EUROPE),
        container("would-move", "large", EUROPE),
        more,
        rule("migrate", ">", 10.0),
        demand=requests(4000.0, EUROPE),
        seconds=30,
    )
    assert not reports(made, "migrate"), "both are where the demand is"
    assert len(made.running) > 2


def test_of_several_containers_that_shall_move_the_one_farthest_from_the_demand_goes_first() -> None:
    made = world(
        front(minimum_replicas=2),
        host("berlin", EUROPE),
        host("asia", ASIA),
        host("america", AMERICA),
        container("a", "asia", ASIA),
        container("b", "america", AMERICA),
        rule("migrate", ">", 10.0),
        demand=requests(2000.0, EUROPE),
        seconds=15,
    )
    assert reports(made, "migrate")[0].from_host == "america"


def requests(rate: float, place: Coordinates) -> Demand:
    return Demand(origins={"front": (Origin(place=place, requests_per_s=rate),)})


# --- services


def test_a_service_without_any_container_gets_its_minimum_without_a_rule() -> None:
    made = world(host("a", EUROPE), front(minimum_replicas=3), seconds=15)
    assert hosts_of(made) == ["a", "a", "a"]
    assert reports(made, "launch")[0].rule == "minimum replicas"


def test_the_highest_of_several_predictions_counts_from_its_very_second_to_its_end() -> None:
    low, high = (
        Prediction(
            name=name,
            service="front",
            start_us=FIRST_US + start * SECOND_US,
            end_us=FIRST_US + 90 * SECOND_US,
            minimum_replicas=least,
        )
        for name, start, least in (("low", 20, 2), ("high", 40, 4))
    )
    made = world(host("a", EUROPE), front(), low, high, seconds=19)
    counts = [len(made.running)]
    for seconds in (5, 14, 6):
        made.run(seconds)
        counts.append(len(made.running))
    assert counts == [1, 2, 2, 4]
    assert made.state.minimum(made.state.services["front"], FIRST_US + 90 * SECOND_US) == 1


def test_a_busy_service_gets_one_more_after_two_evaluations_and_never_more_than_its_maximum() -> None:
    made = world(
        host("a", EUROPE),
        front(maximum_replicas=2),
        container("c", "a", EUROPE),
        rule("replicate", ">", 20.0),
        demand=requests(2000.0, EUROPE),
        seconds=9,
    )
    assert not reports(made, "replicate"), "one evaluation is not enough"
    made.run(200)
    assert len(made.running) == 2
    found = reports(made, "replicate")
    assert [(each.rule, each.fields, each.values) for each in found] == [
        ("replicate-rule", ("cpu-%",), (50.0,))
    ]


def test_a_maximum_of_nought_is_no_limit() -> None:
    made = world(
        host("a", EUROPE),
        front(),
        container("c", "a", EUROPE),
        rule("replicate", ">", 10.0),
        demand=requests(1200.0, EUROPE),
        seconds=400,
    )
    assert len(made.running) == 3


def test_a_service_follows_its_demand_and_never_moves_onto_the_host_that_it_leaves() -> None:
    demand = requests(100.0, EUROPE)
    made = world(
        host("europe", EUROPE),
        host("asia", ASIA),
        front(),
        container("c", "europe", EUROPE),
        rule("migrate", ">", 0.0),
        demand=demand,
        seconds=60,
    )
    assert hosts_of(made) == ["europe"], "it is where its users are, so it stays"
    demand.move(requests(100.0, ASIA).origins)
    while not reports(made, "migrate"):
        made.run(1)
    made.run(30)
    assert hosts_of(made) == ["asia", "europe"], "both run until callers know of the new one"
    made.run(120)
    assert hosts_of(made) == ["asia"]
    decided = reports(made, "migrate")
    assert [(each.from_host, each.to_host) for each in decided] == [("europe", "asia")]


def test_the_least_useful_container_is_stopped_but_not_below_the_minimum() -> None:
    made = world(
        host("europe", EUROPE),
        host("asia", ASIA),
        front(),
        container("c-1", "europe", EUROPE),
        container("c-2", "asia", ASIA),
        rule("stop", "<", 50.0),
        demand=requests(10.0, EUROPE),
        seconds=120,
    )
    assert hosts_of(made) == ["europe"], "the one that is far from the users goes"
    made.run(200)
    assert hosts_of(made) == ["europe"]


def test_a_database_goes_with_the_last_one_that_uses_it_on_its_host_and_not_before() -> None:
    database = Service(name="db", type="database", memory_bytes=1 * GIB)
    made = world(
        host("a", EUROPE),
        front(minimum_replicas=0),
        Service(name="other", memory_bytes=1 * GIB),
        database,
        Dependency(service="front", dependency="db"),
        Dependency(service="other", dependency="db"),
        container("c-1", "a", EUROPE),
        container("o-1", "a", EUROPE, "other"),
        container("d-1", "a", EUROPE, "db"),
    )
    command(made, "stop", "container/c-1")
    made.run(3)
    assert sorted(made.running) == ["d-1", "o-1"]
    command(made, "stop", "container/o-1")
    made.run(3)
    assert not made.running


# --- recovery


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


# --- hosts


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


# --- regions


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


# --- restart, ownership


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


# --- commands


@pytest.mark.parametrize(
    ("action", "entity", "arguments", "says"),
    [
        ("launch", "service/nobody", {"host": "a"}, "there is no service 'nobody'"),
        (
            "launch",
            "service/front",
            {"host": "z"},
            "takes no containers; join or activate it, or take one of a, b",
        ),
        (
            "launch",
            "service/front",
            {"latitude": "x", "longitude": "0"},
            "has the latitude 'x'; give a number",
        ),
        ("launch", "host/a", {}, "launch is about a service, not 'host/a'; give service/<name>"),
        ("launch", "service/front", {"host": "a", "count": "9"}, "has 1 of at most 2 replicas, so 9 more"),
        ("migrate", "container/c", {"host": "a"}, "is on 'a' already; choose another host"),
        ("drain", "host/a", {}, "the manager runs on 'a', which is not drained"),
        ("leave", "host/a", {}, "has the manager itself on it"),
        ("join", "host/b", {}, "is a node already"),
        ("delete", "service/front", {}, "has 1 containers, as 'c'; stop them first"),
        ("delete", "rule/none", {}, "there is no 'rule/none'"),
        ("create", "service/front", {}, "exists; update it"),
        ("launch_app", "app/shop", {"latitude": "0", "longitude": "0"}, "there is no app 'shop'"),
    ],
)
def test_a_command_that_can_not_be_carried_out_is_refused_and_nothing_is_touched(
    action: ControlAction, entity: str, arguments: dict[str, str], says: str
) -> None:
    made = world(
        host("a", EUROPE, is_managers=True),
        host("b", EUROPE),
        front(maximum_replicas=2),
        container("c", "a", EUROPE),
    )
    before = len(made.decisions)
    command(made, action, entity, **arguments)
    (only,) = made.decisions[before]
    assert isinstance(only, act.Report)
    assert only.event.state == "refused"
    assert says in only.event.reason


def test_a_host_keeps_its_containers_where_one_can_not_move_and_the_refusal_says_which_and_why() -> None:
    def refusal(*entities: Entity | Iterable[Entity]) -> str:
        made = world(host("a", EUROPE), host("b", EUROPE), front(minimum_replicas=0), *entities)
        command(made, "drain", "host/a")
        (event,) = reports(made, "drain", "refused")
        assert not reports(made, "migrate")
        assert made.state.nodes["a"].availability == "active"
        return event.reason

    moving = container("c-1", "a", EUROPE)
    cart = Service(name="cart", type="database", memory_bytes=1 * GIB)
    assert "cart-1 stays: cart is a database service" in refusal(
        moving, cart, container("cart-1", "a", EUROPE, "cart")
    )
    given_up = container("c-2", "a", EUROPE, state="given_up")
    assert "c-2 stays: it is given up" in refusal(moving, given_up)
    assert "big-1 stays: " in refusal(
        moving,
        Service(name="big", type="backend", memory_bytes=1000 * GIB),
        container("big-1", "a", EUROPE, "big"),
    )


def test_all_replicas_of_a_drained_host_are_replaced_before_any_is_stopped() -> None:
    made = world(
        host("a", EUROPE),
        host("b", EUROPE),
        front(minimum_replicas=2),
        container("c-1", "a", EUROPE),
        container("c-2", "a", EUROPE),
    )
    command(made, "drain", "host/a")
    least = len(made.running)
    for _ in range(120):
        made.run(1)
        least = min(least, len(made.running))
    assert hosts_of(made) == ["b", "b"]
    assert least == 2


def test_a_container_that_nothing_is_recorded_of_is_stopped_and_said_on_hosts_of_this_manager_alone() -> None:
    made = world(host("a", EUROPE), front(minimum_replicas=0), container("c-1", "a", EUROPE))
    for name, on in (("old", "a"), ("c-1", "a"), ("old", "elsewhere")):
        made.tell(events.OrphanFound(now_us=made.now_us, container=name, host=on))
    assert [(each.container, each.host) for each in made.actions(act.Stop)] == [("old", "a")]
    (said,) = reports(made, "stop")
    assert (said.entity, said.from_host, said.rule) == ("container/old", "a", "recovery")
    assert "it still runs on a, and has been replaced or deleted" in said.reason


def test_a_host_that_left_and_could_not_be_stopped_is_said() -> None:
    made = world(host("a", EUROPE, is_ours=True, node=False))
    made.tell(events.LeaveFailed(now_us=made.now_us, host="a", reason="no answer"))
    (said,) = reports(made, "leave", "failed")
    assert (said.entity, said.reason) == ("host/a", "no answer")


def test_the_same_command_is_carried_out_once() -> None:
    made = world(host("a", EUROPE), front(minimum_replicas=0))
    given = ControlCommand(
        command_id="once",
        entity="service/front",
        action="launch",
        requested_at_us=made.now_us,
        arguments={"host": "a"},
    )
    for _ in range(3):
        made.tell(events.CommandGiven(now_us=made.now_us, command=given))
        made.run(5)
    assert len(made.running) == 1


def test_a_rule_whose_condition_is_missing_is_refused_when_it_is_written() -> None:
    made = world(host("a", EUROPE))
    command(
        made,
        "create",
        "rule/r",
        document='{"name":"r","scope":"host","generic":true,"decision":"overload","conditions":["x"]}',
    )
    assert "has the condition 'x', which doesn't exist" in reports(made, "create", "refused")[0].reason


def test_an_app_is_launched_by_its_order_at_once_where_it_may_and_addresses_are_passed_on() -> None:
    services = [
        Service(
            name=name,
            memory_bytes=0.1 * GIB,
            ports=(Port(internal=80, external=8000),),
            output_label=f"{name}Address",
            launch=launch,
        )
        for name, launch in (("cart", ""), ("users", ""), ("shop", "--cart ${cartAddress}"))
    ]
    app = App(
        name="all",
        services=(
            AppService(service="shop", launch_order=3),
            AppService(service="cart", launch_order=1),
            AppService(service="users", launch_order=2),
        ),
    )
    made = world(host("a", EUROPE), *services, app, Dependency(service="shop", dependency="cart"))
    command(made, "launch_app", "app/all", latitude="49", longitude="9")
    made.run(1)
    assert sorted(each.container.service for each in made.actions(act.Launch)) == ["cart", "users"]
    made.run(10)
    shop = next(each for each in made.running.values() if each.service == "shop")
    assert shop.launch == "--cart a:8000"
    assert sorted(port.external for each in made.running.values() for port in each.ports) == [
        8000,
        8001,
        8002,
    ]
    assert not made.state.pending
    assert len(reports(made, "launch_app", "done")) == 1


# --- replay


def test_the_same_events_give_the_same_decisions_byte_for_byte() -> None:
    def day() -> World:
        demand = requests(3000.0, EUROPE)
        made = world(
            *(host(f"h-{number}", place) for number, place in enumerate((EUROPE, ASIA, AMERICA) * 2)),
            front(minimum_replicas=2),
            Service(name="back", memory_bytes=1 * GIB, minimum_replicas=3),
            rule("replicate", ">", 20.0),
            rule("overload", ">", 60.0, scope="host"),
            demand=demand,
            seconds=90,
        )
        demand.move(requests(1000.0, ASIA).origins)
        made.fail(["h-0"])
        made.run(120)
        return made

    one, other = day(), day()
    assert repr(one.decisions) == repr(other.decisions)
    assert sum(map(len, one.decisions)) > 20


def test_delays_of_the_world_are_its_own() -> None:
    made = World([*host("a", EUROPE), front()], delays=Delays(launch_us=30 * SECOND_US))
    made.run(20)
    assert not made.running
    made.run(25)
    assert len(made.running) == 1


def test_distance_decides_among_hosts_with_room() -> None:
    made = world(host("a", ASIA), host("b", EUROPE), front(), demand=requests(1.0, EUROPE), seconds=12)
    (where,) = hosts_of(made)
    assert where == "b"
    assert distance_m(EUROPE, ASIA) > 5_000_000


def test_two_hosts_that_fail_in_the_same_instant_leave_no_container_behind() -> None:
    made = world(*(host(name, EUROPE) for name in "abcd"), front(minimum_replicas=20), seconds=30)
    lost = sorted({each.host for each in made.running.values()})[:2]
    made.fail(lost)
    names = [launch.container.name for launch in made.actions(act.Launch)]
    assert len(names) == len(set(names))
    made.run(10)
    assert len(made.running) == 14, "two hosts of 8 GiB hold seven each below 90 %"


def test_a_manager_decides_nothing_before_it_has_read_all_that_there_is() -> None:
    made = World([])
    made.state.is_caught_up = False
    made.tell(events.EntityChanged(now_us=FIRST_US, key="service/front", entity=front(), owner="master"))
    made.tell(events.TimePassed(now_us=FIRST_US + SECOND_US))
    assert not any(made.decisions)


def test_an_anomaly_score_triggers_a_rule() -> None:
    condition = NamedCondition(name="odd", field="anomaly-score/robust-z", operator=">", value=3.0)
    named = NamedRule(
        name="odd-rule", scope="service", generic=True, decision="replicate", conditions=("odd",)
    )
    made = world(host("a", EUROPE), front(), container("c", "a", EUROPE), condition, named)
    for _ in range(2):
        score = {"front": 5.5}
        made.tell(events.ServicesScored(now_us=made.now_us, field="anomaly-score/robust-z", by_service=score))
        made.run(2)
    (decided,) = reports(made, "replicate")
    assert (decided.rule, decided.fields, decided.values) == ("odd-rule", ("anomaly-score/robust-z",), (5.5,))


def worker_state() -> SystemState:
    state = SystemState("w-asia")
    found: list[Entity] = [*host("a", EUROPE), *host("b", ASIA, worker="w-asia"), front(minimum_replicas=2)]
    found += [container("c-1", "a", EUROPE), container("c-2", "b", ASIA, managed_by="w-asia")]
    for entity in found:
        key = entity_key(entity)
        owner = getattr(entity, "managed_by", "") or getattr(entity, "worker", "") or "master"
        decide(state, events.EntityChanged(now_us=FIRST_US, key=key, entity=entity, owner=owner))
    decide(state, events.Heartbeat(now_us=FIRST_US, name="master"))
    decide(state, events.CaughtUp(now_us=FIRST_US))
    measured = {name: np.array([value]) for name, value in (("cpu-%", 1.0), ("ram-available", 8 * GIB))}
    measured["disk-available"] = np.array([100 * GIB])
    decide(state, events.HostsMeasured(now_us=FIRST_US + 1, names=("b",), columns=measured))
    return state


def launched(actions: tuple[act.Action, ...]) -> list[str]:
    return [each.container.host for each in actions if isinstance(each, act.Launch)]


def test_a_worker_brings_its_own_containers_back_whether_the_master_is_heard_or_not() -> None:
    state = worker_state()
    ended = events.ContainerEnded(now_us=FIRST_US + 2, container="c-2", reason="killed")
    assert launched(decide(state, ended)) == ["b"]
    assert not decide(state, events.ContainerEnded(now_us=FIRST_US + 3, container="c-1"))


def test_a_worker_that_hears_no_master_for_a_minute_decides_for_itself_on_its_own_hosts() -> None:
    state = worker_state()
    assert not launched(decide(state, events.TimePassed(now_us=FIRST_US + 59 * SECOND_US)))
    alone = decide(state, events.TimePassed(now_us=FIRST_US + 60 * SECOND_US))
    assert launched(alone) == ["b"], "what the master managed counts as down"
    assert state.decides_for_services
    decide(state, events.Heartbeat(now_us=FIRST_US + 61 * SECOND_US, name="master"))
    assert not state.decides_for_services


def test_a_worker_launches_what_the_master_wants_on_its_hosts() -> None:
    state = worker_state()
    wanted = container("c-9", "b", ASIA, managed_by="w-asia", state="waiting", started_at_us=0)
    given = events.EntityChanged(now_us=FIRST_US + 5, key="container/c-9", entity=wanted, owner="w-asia")
    assert launched(decide(state, given)) == ["b"]
    assert launched(decide(state, given)) == []


def test_a_container_that_finds_no_room_comes_back_when_there_is_some() -> None:
    made = world(host("a", EUROPE), front(minimum_replicas=0), container("c", "a", EUROPE))
    made.fail(["a"])
    made.run(20)
    assert not made.running
    for entity in host("b", EUROPE):
        made.tell(
            events.EntityChanged(now_us=made.now_us, key=entity_key(entity), entity=entity, owner="master")
        )
    made.run(20)
    assert hosts_of(made) == ["b"]
