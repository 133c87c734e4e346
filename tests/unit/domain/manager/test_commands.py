"""What the manager does when asked, and that it decides the same when told again."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
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

from microservo.domain.geography import distance_m
from microservo.domain.manager import actions as act
from microservo.domain.manager import events
from microservo.domain.manager.decide import decide
from microservo.domain.manager.entities import (
    App,
    AppService,
    Dependency,
    Entity,
    NamedCondition,
    NamedRule,
    PendingAction,
    Port,
    Service,
    entity_key,
)
from microservo.domain.manager.simulation import Delays, World
from microservo.domain.manager.simulation.world import FIRST_US, SECOND_US
from microservo.domain.manager.state import SystemState
from schemas.records import ControlAction, ControlCommand


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


def test_a_host_that_has_failed_joins_again_and_takes_what_waits_for_room() -> None:
    made = world(host("a", EUROPE), front(minimum_replicas=0), container("c", "a", EUROPE))
    made.fail(["a"])
    made.run(10)
    made.down.clear()
    command(made, "join", "host/a")
    assert not reports(made, "join", "refused")
    made.run(40)
    assert made.state.nodes["a"].is_ready
    assert hosts_of(made) == ["a"]
    command(made, "join", "host/a")
    assert "is a node already" in reports(made, "join", "refused")[0].reason


def test_a_worker_leaves_to_the_master_what_that_has_begun() -> None:
    state = worker_state()
    balancer = Service(name="nginx", type="system", component="load-balancer", memory_bytes=0.01 * GIB)
    app = App(name="shop", services=(AppService(service="front"),))
    due_us = FIRST_US + 2
    removal = PendingAction(
        name="remove-components:Asia", task="remove-components", subject="Asia", due_us=due_us
    )
    launch = PendingAction(
        name="launch-app:shop", task="launch-app", subject="shop", due_us=due_us, services=("front",)
    )
    running = container("n-1", "b", ASIA, "nginx", region="Asia")
    for entity in (balancer, app, running, removal, launch):
        given = events.EntityChanged(
            now_us=FIRST_US + 1, key=entity_key(entity), entity=entity, owner="master"
        )
        assert not decide(state, given)
    assert not decide(state, events.ContainerStarted(now_us=FIRST_US + 2, container="c-1", ports=()))
    assert not decide(state, events.TimePassed(now_us=FIRST_US + 3))
