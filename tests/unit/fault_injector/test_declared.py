"""Faults that others made: declared, labelled like ours, ended when that is declared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from schemas.codec import encode
from schemas.records import Experiment, FaultRequest
from tests.unit.fault_injector.harness import (
    NOW_US,
    PREFIX,
    SECOND_US,
    Running,
    World,
    declaration,
    request,
    stop,
    verdict,
)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def running(world: World) -> Running:
    return Running(world).tick()


def states(world: World) -> list[str]:
    return [each.state for each in world.events("d-1")]


def test_a_declared_fault_is_in_force_since_it_was_declared_to_be_and_exposes_services_as_ours_do(
    world: World, running: Running
) -> None:
    running.ask(declaration()).tick()
    assert states(world) == ["requested", "active"]
    event = world.events("d-1")[-1]
    assert (event.origin, event.kind, event.severity) == ("declared", "deploy", 0.5)
    assert (event.applied_at_us, event.applied_within_us) == (NOW_US - 5 * SECOND_US, None)
    assert event.apply_evidence == "declared by ana"
    assert event.apply_commanded_at_us is None
    [root], [user], [callee] = (world.faults(name, "d-1") for name in ("front", "loadgen", "cart"))
    assert (root.role, root.relation, root.severity) == ("root_cause", "root", 0.5)
    assert (user.relation, callee.relation, callee.hops) == ("user", "callee", 1)
    assert root.applied_at_us == NOW_US - 5 * SECOND_US
    assert root.recovered_at_us is None
    assert world.mechanism.attempts("apply") == []


def test_one_that_is_over_is_entered_with_its_end_and_how_exactly_both_are_known(
    world: World, running: Running
) -> None:
    over = declaration(end_at_us=NOW_US - SECOND_US, within_us=250_000, severity=0.9)
    running.ask(over).tick()
    assert states(world) == ["requested", "active", "recovered"]
    root = world.faults("front", "d-1")[-1]
    assert (root.recovered_at_us, root.recovered_within_us) == (NOW_US - SECOND_US, 250_000)
    assert (root.applied_within_us, root.severity) == (250_000, 0.9)


def test_the_service_need_not_be_of_the_target_and_no_target_need_run(world: World, running: Running) -> None:
    world.mechanism.has_target = False
    running.ask(declaration(service="jshop", instances=("jshop-7",))).tick()
    [root] = world.faults("jshop", "d-1")
    assert (root.relation, root.instances, root.applied_us) == (
        "root",
        ("jshop-7",),
        (NOW_US - 5 * SECOND_US,),
    )


@pytest.mark.parametrize(
    ("end", "ended_us"),
    [
        (replace(stop("d-1"), requested_at_us=NOW_US + SECOND_US), NOW_US + SECOND_US),
        (replace(stop("d-1"), end_at_us=NOW_US - SECOND_US), NOW_US - SECOND_US),
    ],
    ids=["now", "then"],
)
def test_an_open_one_ends_when_that_is_declared_however_often_it_is_read(
    world: World, running: Running, end: FaultRequest, ended_us: int
) -> None:
    running.ask(declaration()).tick().pass_s(3)
    running.ask(end).ask(end).tick()
    assert states(world) == ["requested", "active", "recovered"]
    last = world.events("d-1")[-1]
    assert (last.recovered_at_us, last.recovery_evidence) == (ended_us, "declared")
    assert world.faults("cart", "d-1")[-1].recovered_at_us == ended_us


def test_its_effect_is_measured_and_told_like_that_of_ours(world: World, running: Running) -> None:
    running.ask(declaration(end_at_us=NOW_US - SECOND_US)).tick()
    world.put("fault-effects", encode(verdict(1, fault_id="d-1", service="front", is_final=True)))
    running.tick()
    last = world.events("d-1")[-1]
    assert (last.state, last.verdict) == ("recovered", "confirmed")
    assert last.effect_evidence.startswith("front: calls to cart")


def test_one_that_was_over_long_ago_is_given_time_for_a_verdict(world: World, running: Running) -> None:
    running.ask(declaration(start_at_us=NOW_US - 900 * SECOND_US, end_at_us=NOW_US - 800 * SECOND_US))
    running.pass_s(59)
    assert world.events("d-1")[-1].verdict == "pending"
    running.pass_s(2)
    assert world.events("d-1")[-1].verdict == "inconclusive"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"end_at_us": NOW_US - 6 * SECOND_US}, "the end lies 1 s before the beginning"),
        ({"start_at_us": NOW_US + 90 * SECOND_US}, "begins 90 s from now"),
        ({"end_at_us": NOW_US + 90 * SECOND_US}, "ends 90 s from now"),
        ({"start_at_us": NOW_US - 4000 * SECOND_US}, "begins 400 s before the run"),
        ({"kind": "network-delay"}, "`microservo fault request network-delay`"),
        ({"kind": "Bad Deploy"}, "lower-case letters"),
        ({"service": ""}, "no service was given"),
        ({"severity": 1.5}, "the severity is 1.5"),
        ({"within_us": -1}, "give zero or more"),
    ],
)
def test_what_can_not_have_been_is_refused(world: World, changes: dict[str, Any], reason: str) -> None:
    run = Experiment(
        run_id="run-1",
        status="running",
        seed=1,
        target="t",
        started_at_us=NOW_US - 3600 * SECOND_US,
        window_us=5 * SECOND_US,
        first_cut_us=2 * SECOND_US,
        final_cut_us=30 * SECOND_US,
        start_offsets={},
        end_offsets={},
        versions={},
    )
    with world.broker.producer() as producer:
        producer.send(f"{PREFIX}experiments", key=b"run-1", value=encode(run))
        producer.flush(10)
    Running(world).tick().ask(declaration(**changes))
    [event] = world.events("d-1")
    assert event.state == "rejected"
    assert reason in event.reason
    assert world.faults("front", "d-1") == []


def test_an_id_that_exists_is_refused_and_the_same_request_is_known(world: World, running: Running) -> None:
    running.ask(declaration()).ask(declaration()).tick()
    assert states(world) == ["requested", "active"]
    running.ask(declaration(kind="rollback"))
    assert "is taken" in world.events("d-1")[-1].reason


def test_when_an_injected_one_ended_can_not_be_declared(world: World, running: Running) -> None:
    running.ask(request()).tick()
    running.ask(replace(stop(), end_at_us=NOW_US)).tick()
    assert "is measured" in world.events()[-1].reason
    assert world.mechanism.active == {("cart-0", "f-1")}


def test_nothing_here_acts_on_it(world: World, running: Running) -> None:
    running.ask(declaration(service="cart", instances=("cart-0",))).tick()
    running.see("cart-0", "down").see("cart-0", "up").pass_s(5)
    running.injector.shut_down()
    running.tick()
    assert running.injector.is_at_rest
    assert {verb for verb, _, _ in world.mechanism.log} <= {"release"}
    assert states(world) == ["requested", "active"]


def test_one_in_force_outlives_the_injector_but_not_its_run(world: World, running: Running) -> None:
    running.ask(declaration()).tick()
    again = Running(world).tick().ask(replace(stop("d-1"), end_at_us=NOW_US)).tick()
    assert states(world)[-1] == "recovered"
    again.ask(declaration("d-2"))
    Running(world, run_id="run-2").tick()
    last = world.events("d-2")[-1]
    assert (last.state, last.recovered_at_us) == ("stopped", None)
    assert last.reason == "its run was over before its end was declared"
