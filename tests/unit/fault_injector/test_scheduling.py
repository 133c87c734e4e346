"""Schedules in the injector: what is due begins once, whoever is killed, and what was missed is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from microservo.log.publisher import Publisher
from microservo.log.reader import read_state
from schemas.codec import decode_as, encode
from schemas.records import FaultRequest, FaultSchedule, ScheduleProgress
from tests.unit.fault_injector.harness import NOW_US, PREFIX, SECOND_US, Running, World

MINUTE_US = 60 * SECOND_US
FIRST_US = (NOW_US // MINUTE_US + 1) * MINUTE_US
UNTIL_FIRST_S = (FIRST_US - NOW_US) / SECOND_US
FIRST = "often-20231114T221400Z"


def schedule(**changes: Any) -> FaultSchedule:
    """Every minute, for five seconds."""
    given: dict[str, Any] = {
        "schedule_id": "often",
        "version": 1,
        "state": "active",
        "kind": "network-delay",
        "service": "cart",
        "instances": ("cart-0",),
        "parameters": {"latency": "300ms"},
        "duration_us": 5 * SECOND_US,
        "cron": "* * * * *",
        "grace_us": 30 * SECOND_US,
        "valid_from_us": NOW_US,
        "created_at_us": NOW_US,
        **changes,
    }
    return FaultSchedule(**given)


@pytest.fixture
def world() -> World:
    return World()


def write(world: World, *schedules: FaultSchedule | None) -> None:
    with world.broker.producer() as producer:
        for each in schedules:
            value = None if each is None else encode(each)
            producer.send(f"{PREFIX}fault-schedules", key=b"often", value=value)
        producer.flush(10)


def run_s(running: Running, seconds: float) -> None:
    """Lets time pass, and has the injector read all requests, also those that it may know."""
    delivered: set[tuple[int, int]] = set()
    for _ in range(round(seconds * 10)):
        running.tick(1)
        messages = running.world.messages("fault-requests")
        running.handlers.requests(
            [each for each in messages if (each.partition, each.offset) not in delivered]
        )
        delivered |= {(each.partition, each.offset) for each in messages}
        running.world.clock.advance(100_000)
    running.tick()


def progress(world: World) -> ScheduleProgress | None:
    return read_state(world.broker, f"{PREFIX}schedule-progress", ScheduleProgress).get("often")


def requested(world: World) -> list[str]:
    messages = world.messages("fault-requests")
    return sorted(decode_as(FaultRequest, each.value or b"").fault_id for each in messages)


def test_a_fault_of_a_schedule_begins_at_its_instant_and_each_has_an_id_of_its_own(world: World) -> None:
    running = Running(world)
    write(world, schedule())
    run_s(running, UNTIL_FIRST_S + 70)
    assert requested(world) == [FIRST, "often-20231114T221500Z"]
    assert world.states(FIRST)[:6] == [
        *("requested", "scheduled", "applying", "active", "recovering", "recovered")
    ]
    (applied,) = {each.applied_at_us for each in world.events(FIRST) if each.state == "active"}
    assert applied is not None
    assert 0 <= applied - FIRST_US <= 100_000
    found = progress(world)
    assert found is not None
    assert (found.requested, found.skipped) == (2, 0)


@pytest.mark.parametrize("killed_after_s", [UNTIL_FIRST_S - 0.5, UNTIL_FIRST_S + 2, UNTIL_FIRST_S + 20])
def test_an_injector_that_was_killed_does_not_begin_a_fault_twice(
    world: World, killed_after_s: float
) -> None:
    """Neither where its last word about the schedule was lost."""
    running = Running(world)
    write(world, schedule())
    run_s(running, killed_after_s)
    world.put("schedule-progress", None)
    with world.broker.producer() as producer:
        producer.send(f"{PREFIX}schedule-progress", key=b"often", value=None)
        producer.flush(10)
    run_s(Running(world), UNTIL_FIRST_S + 29 - killed_after_s)
    assert world.mechanism.attempts("apply") == [("cart-0", FIRST)]
    assert world.states(FIRST)[-1] == "recovered"
    assert "rejected" not in world.states(FIRST)


def test_what_was_due_while_no_injector_ran_is_skipped_and_recorded(world: World) -> None:
    write(world, schedule())
    world.clock.advance(FIRST_US - NOW_US + 3 * MINUTE_US + 31 * SECOND_US)
    run_s(Running(world), 1)
    found = progress(world)
    assert found is not None
    assert (found.requested, found.skipped) == (0, 4)
    assert found.recent[0].fault_id == FIRST
    assert found.recent[0].reason == "no injector was running when it was due"
    assert requested(world) == []


def test_who_missed_a_month_goes_through_it_in_turn_and_holds_up_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from services.fault_injector import scheduling  # noqa: PLC0415  # as of a machine that is very slow

    monkeypatch.setattr(scheduling, "_TURN_S", -1.0)
    world.clock.advance(30 * 24 * 60 * MINUTE_US)
    now = schedule(schedule_id="now", cron="", at_us=world.clock())
    with world.broker.producer() as producer:
        for each in (schedule(), schedule(schedule_id="other"), now):
            producer.send(f"{PREFIX}fault-schedules", key=each.schedule_id.encode(), value=encode(each))
        producer.flush(10)
        scheduler = scheduling.Scheduler(
            Publisher(producer, "fault_injector", prefix=PREFIX, clock=world.clock), world.clock
        )
        scheduler.catch_up(world.broker, lambda name: PREFIX + name)
        for _ in range(3):
            scheduler.tick()
        producer.flush(10)
    found = read_state(world.broker, f"{PREFIX}schedule-progress", ScheduleProgress)
    assert {name: each.skipped for name, each in found.items()} == {"often": 100, "other": 100, "now": 0}
    assert [each.partition("-")[0] for each in requested(world)] == ["now"]


def test_a_schedule_that_is_paused_edited_and_removed_is_followed_at_once(world: World) -> None:
    running = Running(world)
    write(world, schedule(), schedule(version=2, state="paused"))
    run_s(running, UNTIL_FIRST_S + 5)
    assert requested(world) == []
    resumed = schedule(version=3, valid_from_us=world.clock(), parameters={"latency": "1s"})
    write(world, resumed)
    run_s(running, 60)
    assert requested(world) == ["often-20231114T221500Z"]
    assert world.events("often-20231114T221500Z")[0].parameters["latency_us"] == "1000000"
    write(world, None)
    run_s(running, 60)
    assert len(requested(world)) == 1
    assert progress(world) is None


def test_a_schedule_that_was_removed_while_no_injector_ran_requests_nothing(world: World) -> None:
    write(world, schedule(), None)
    world.clock.advance(FIRST_US - NOW_US)
    running = Running(world)
    run_s(running, 2)
    assert requested(world) == []
    assert progress(world) is None


def test_a_schedule_that_can_not_be_read_stops_nobody(world: World) -> None:
    write(world, replace(schedule(), cron="every now and then"))
    world.put("fault-schedules", b"nonsense")
    running = Running(world)
    write(world, schedule())
    run_s(running, UNTIL_FIRST_S + 1)
    assert requested(world) == [FIRST]
