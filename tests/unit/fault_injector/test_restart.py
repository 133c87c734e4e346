"""Killed at any moment and started again: nothing stays broken, and no label stays open."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from microservo.adapters.broker import Message
from microservo.adapters.memory.consumer import MemoryConsumer
from microservo.domain.faults.decider import step
from microservo.errors import Retryable
from microservo.log.faults import all_latest_events, latest_events
from schemas.codec import encode
from schemas.records import FaultEvent, ServiceFault, ServiceGraph
from tests.unit.fault_injector.harness import (
    NOW_US,
    PREFIX,
    SECOND_US,
    Running,
    World,
    request,
    stop,
    verdict,
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
    assert len(world.mechanism.attempts("apply")) == 1
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
    assert world.mechanism.attempts("apply") == []


def test_services_with_a_record_get_every_later_one(world: World) -> None:
    died_in(world, "active")
    world.target.edges = lambda: [("newcomer", "cart")]  # type: ignore[method-assign]
    Running(world).tick().pass_s(12)
    assert world.faults("front")[-1].recovered_at_us is not None
    assert world.faults("newcomer") == []


def test_a_version_that_was_published_before_the_crash_is_not_used_again(
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


class KilledError(BaseException):
    """Ends a life of the injector where it stands."""


def kill_after(running: Running, writes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets an injector write so many records, of whatever topic, and then no more."""
    left = writes

    def counted(send: Callable[..., None]) -> Callable[..., None]:
        def counting(*args: Any, **options: Any) -> None:
            nonlocal left
            if not left:
                raise KilledError
            left -= 1
            send(*args, **options)

        return counting

    for client in (running.producer, running.writer):
        monkeypatch.setattr(client, "send", counted(client.send))


@pytest.mark.parametrize("writes", range(19))
def test_a_kill_between_any_two_writes_loses_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    running = Running(world).tick()
    sent = running.send(request())
    with monkeypatch.context() as patched:
        kill_after(running, writes, patched)
        with suppress(KilledError):
            running.handlers.requests(sent)
            running.tick().pass_s(12)
    second = Running(world)
    second.handlers.requests(sent)  # not committed, or read again at the worst
    second.tick().pass_s(20)
    assert world.states()[-1] in ("recovered", "failed")
    assert world.mechanism.active == set()
    assert [each.version for each in world.events()] == sorted({each.version for each in world.events()})
    for service in ("cart", "front"):
        assert_closed(world.faults(service), world.events())
    listed = latest_events(world.broker, f"{PREFIX}faults")
    assert listed == all_latest_events(world.broker, f"{PREFIX}fault-events")


def test_a_restart_reads_the_states_and_not_the_history(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        Running(world).tick().ask(request(f"f-{number}", kind="magic"))
    read: list[str] = []
    consume = MemoryConsumer.consume

    def counting(consumer: MemoryConsumer, *args: Any) -> list[Message]:
        found = consume(consumer, *args)
        read.extend(each.topic for each in found)
        return found

    monkeypatch.setattr(MemoryConsumer, "consume", counting)
    Running(world)
    assert read.count(f"{PREFIX}faults") == 30
    assert read.count(f"{PREFIX}fault-events") <= 2
    assert f"{PREFIX}fault-requests" not in read


def test_what_was_closed_long_ago_is_forgotten_and_its_id_is_free_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "CLOSED_KEPT", 2)
    running = Running(world).tick()
    for name in ("f-1", "f-2", "f-3"):
        running.ask(request(name, kind="magic"))
    listed = latest_events(world.broker, f"{PREFIX}faults")
    assert [each.fault_id for each in listed] == ["f-2", "f-3"]
    again = Running(world).tick()
    again.ask(request("f-2", kind="magic")).ask(request("f-1", kind="magic"))
    assert len(world.events("f-2")) == 1
    assert [each.version for each in world.events("f-1")] == [1, 1]


def test_a_fault_of_which_the_request_is_lost_for_good_ends_with_that_reason(world: World) -> None:
    died_in(world, "scheduled")
    world.forget_states()
    Running(world).tick().pass_s(121)
    assert world.states() == ["requested", "scheduled", "stopped"]
    assert "found no request" in world.events()[-1].reason


def test_without_any_state_the_history_is_read_and_goes_on(world: World) -> None:
    died_in(world, "active")
    world.forget_states()
    Running(world).tick().pass_s(12)
    assert world.states()[-1] == "recovered"
    assert len(world.mechanism.attempts("apply")) == 1
    assert_closed(world.faults("front"), world.events())


def test_a_request_read_again_after_a_restart_is_known(world: World) -> None:
    died_in(world, "active")
    running = Running(world).tick().ask(request()).tick()
    assert len(world.mechanism.attempts("apply")) == 1
    running.ask(request(parameters={"latency": "1ms"}))
    assert "is taken" in world.events()[-1].reason


def test_a_verdict_that_came_while_no_injector_ran_is_told_after_the_restart(world: World) -> None:
    died_in(world, "recovered")
    world.put("fault-effects", encode(verdict(1, verdict="ineffective", is_final=True)))
    Running(world).tick()
    assert world.events()[-1].verdict == "ineffective"
    reported = len(world.events())
    Running(world).tick().pass_s(70)
    assert len(world.events()) == reported


def test_who_was_exposed_late_stays_so_after_a_restart(world: World) -> None:
    died_in(world, "active")
    newcomer = ServiceGraph(
        run_id="run-1",
        start_us=NOW_US,
        end_us=NOW_US + SECOND_US,
        callers=("newcomer",),
        callees=("cart",),
        calls=(1,),
        errors=(0,),
    )
    first = Running(world)
    first.injector.observe_graph(newcomer)
    first.tick()
    Running(world).tick().pass_s(12)
    assert world.faults("newcomer")[-1].recovered_at_us is not None


def test_a_verdict_that_can_not_be_given_any_more_is_inconclusive(world: World) -> None:
    died_in(world, "recovered")
    world.clock.advance(3600 * SECOND_US)
    Running(world).tick()
    assert world.events()[-1].verdict == "inconclusive"
    reported = len(world.events())
    Running(world).tick()
    assert len(world.events()) == reported


def test_without_a_target_the_rest_is_repaired_later(world: World) -> None:
    died_in(world, "active")
    world.mechanism.has_target = False
    running = Running(world).tick().pass_s(10)
    assert world.states()[-1] == "recovering"
    world.mechanism.has_target = True
    running.pass_s(2)
    assert world.states()[-1] == "recovered"
