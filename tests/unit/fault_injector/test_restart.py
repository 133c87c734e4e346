"""Killed at any moment and started again: nothing stays broken, and no label stays open."""

from __future__ import annotations

import pytest

from microservo.errors import Retryable
from schemas.records import FaultEvent, ServiceFault
from tests.unit.fault_injector.harness import (
    NOW_US,
    SECOND_US,
    Running,
    World,
    request,
    stop,
    window,
)


@pytest.fixture
def world() -> World:
    return World()


def died_in(world: World, state: str) -> None:
    """Leaves the world as an injector does that is killed while the fault is in a state."""
    running = Running(world).tick()
    if state == "scheduled":
        running.ask(request(start_at_us=NOW_US + 5 * SECOND_US)).tick()
    elif state in ("applying", "half-applied"):
        running.workers.held = True
        running.ask(request()).tick()
        if state == "half-applied":
            world.mechanism.active.add(("cart-0", "f-1"))
    elif state == "active":
        running.ask(request()).tick().pass_s(2)
    elif state == "recovering":
        running.ask(request()).tick().pass_s(2)
        running.workers.held = True
        running.ask(stop()).tick()
    else:
        running.ask(request()).tick().pass_s(12)


@pytest.mark.parametrize(
    ("died", "ends"),
    [
        ("scheduled", "recovered"),
        ("applying", "failed"),
        ("half-applied", "recovered"),
        ("active", "recovered"),
        ("recovering", "stopped"),
        ("recovered", "recovered"),
    ],
)
def test_a_fault_ends_whenever_the_injector_was_killed(world: World, died: str, ends: str) -> None:
    died_in(world, died)
    Running(world).tick().pass_s(17)
    assert world.states()[-1] == ends
    assert world.mechanism.active == set()
    for service in ("cart", "front"):
        assert_closed(world.faults(service), world.events())


def assert_closed(faults: list[ServiceFault], events: list[FaultEvent]) -> None:
    versions = [each.version for each in faults]
    assert versions == sorted(set(versions))
    assert faults[-1].recovered_at_us is not None
    assert [each.version for each in events] == sorted({each.version for each in events})


def test_an_active_fault_goes_on_and_is_recovered_on_time(world: World) -> None:
    died_in(world, "active")
    Running(world).tick().pass_s(5)
    assert world.states()[-1] == "active"
    assert len(world.mechanism.efforts("apply")) == 1
    running = Running(world).tick().pass_s(4)
    commanded_us = world.events()[-1].recovery_commanded_at_us or 0
    assert 0 <= commanded_us - (NOW_US + 10 * SECOND_US) < SECOND_US
    assert running.injector.is_at_rest


def test_what_is_past_due_is_recovered_at_once(world: World) -> None:
    died_in(world, "active")
    world.clock.advance(3600 * SECOND_US)
    Running(world).tick()
    assert world.states()[-2:] == ["recovering", "recovered"]
    assert (world.events()[-1].recovered_at_us or 0) > NOW_US + 3600 * SECOND_US


def test_what_no_open_fault_owns_is_removed(world: World) -> None:
    died_in(world, "active")
    world.mechanism.active |= {("cart-1", "stranger"), ("front-0", "f-1")}
    Running(world).tick()
    assert world.mechanism.active == {("cart-0", "f-1")}


def test_a_silent_instance_is_repaired_when_it_answers(world: World) -> None:
    world.mechanism.active.add(("cart-1", "stranger"))
    world.mechanism.errors["release", "cart-1"] = [Retryable("silent")] * 2
    running = Running(world).tick()
    assert world.mechanism.active == {("cart-1", "stranger")}
    running.pass_s(3)
    assert world.mechanism.active == set()


def test_a_start_that_was_missed_for_long_is_not_made_up_for(world: World) -> None:
    died_in(world, "scheduled")
    world.clock.advance(3600 * SECOND_US)
    Running(world).tick().pass_s(1)
    assert world.states()[-1] == "stopped"
    assert "no injector was running" in world.events()[-1].reason
    assert world.mechanism.efforts("apply") == []


def test_the_services_that_were_told_are_told_to_the_end(world: World) -> None:
    died_in(world, "active")
    world.target.edges = lambda: [("newcomer", "cart")]  # type: ignore[method-assign]
    Running(world).tick().pass_s(12)
    assert world.faults("front")[-1].recovered_at_us is not None
    assert world.faults("newcomer") == []


def test_a_version_that_was_told_before_the_crash_is_not_given_out_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object, **__: object) -> None:
        msg = "killed here"
        raise RuntimeError(msg)

    running = Running(world).tick()
    running.ask(request()).tick().pass_s(9.9)
    with monkeypatch.context() as patched:
        patched.setattr(running.producer, "send", crash)
        with pytest.raises(RuntimeError):
            running.pass_s(1)
    lost = world.faults("cart")[-1]
    assert lost.recovery_commanded_at_us is not None
    assert lost.version > world.events()[-1].version
    Running(world).tick()
    versions = [each.version for each in world.faults("cart")]
    assert versions == sorted(set(versions))
    assert world.faults("cart")[-1].recovered_at_us is not None
    assert world.events()[-1].version == versions[-1]


def test_a_request_read_again_after_a_restart_is_known(world: World) -> None:
    died_in(world, "active")
    running = Running(world).tick().ask(request()).tick()
    assert len(world.mechanism.efforts("apply")) == 1
    running.ask(request(parameters={"latency": "1ms"}))
    assert "is taken" in world.events()[-1].reason


def test_a_verdict_that_is_missing_is_given_after_the_restart(world: World) -> None:
    died_in(world, "recovered")
    running = Running(world)
    for index in range(-6, 5):
        running.injector.observe_window(window(index, "front", {"call/cart/p50_ms": 3.0}))
        running.injector.observe_window(window(index, "cart", {"metric/x/mean": 1.0}))
    running.tick()
    assert world.events()[-1].verdict == "ineffective"
    assert world.faults("front")[-1].verdict == "ineffective"


def test_a_verdict_that_can_not_be_given_any_more_is_inconclusive(world: World) -> None:
    died_in(world, "recovered")
    world.clock.advance(3600 * SECOND_US)
    Running(world).tick()
    assert world.events()[-1].verdict == "inconclusive"
    told = len(world.events())
    Running(world).tick()
    assert len(world.events()) == told


def test_without_a_target_the_rest_is_repaired_later(world: World) -> None:
    died_in(world, "active")
    world.mechanism.has_target = False
    running = Running(world).tick().pass_s(10)
    assert world.states()[-1] == "recovering"
    world.mechanism.has_target = True
    running.pass_s(2)
    assert world.states()[-1] == "recovered"
