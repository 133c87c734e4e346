from __future__ import annotations

import pytest

from microservo.errors import Retryable
from schemas import catalogue
from schemas.codec import encode
from schemas.envelope import FOREVER_US, Stamp
from schemas.records import FaultEffect, ServiceFault
from services.effect_observer.handlers import READ
from tests.unit.effect_observer.harness import (
    NOW_US,
    PARTITIONS,
    Running,
    S,
    ScriptedObserver,
    World,
    calls,
    finding,
    writer_of,
)

SPANS = encode(calls([NOW_US], [5_000], [False], side="caller"))
FAULT = encode(
    ServiceFault(
        run_id="run-1",
        fault_id="f-1",
        version=1,
        kind="network-delay",
        service="cart",
        root_service="cart",
        role="root_cause",
        relation="root",
        hops=0,
        severity=0.3,
        requested_at_us=NOW_US,
    )
)


@pytest.fixture
def world() -> World:
    world = World()
    world.record_run()
    return world


@pytest.fixture
def observer() -> ScriptedObserver:
    return ScriptedObserver()


def test_telemetry_and_faults_of_the_run_reach_the_observer_once(
    world: World, observer: ScriptedObserver
) -> None:
    running = Running(world, observer)
    world.send(catalogue.TELEMETRY_TRACES, SPANS, promise_us=NOW_US)
    world.send(catalogue.SERVICE_FAULTS, FAULT, promise_us=NOW_US, partition=1)
    world.send(catalogue.TELEMETRY_TRACES, SPANS, promise_us=NOW_US, writer="w", run="run-2")
    batch = running.consumer.consume(100, 0.0)
    running.handlers.handle(batch)
    running.handlers.handle(batch)
    assert [each.service for each in observer.batches] == ["front"]
    assert [each.fault_id for each in observer.faults] == ["f-1"]


def test_event_time_is_where_the_slowest_writer_has_promised_less_what_its_records_may_be_late(
    world: World, observer: ScriptedObserver
) -> None:
    running = Running(world, observer)
    running.pass_s()
    world.promise(NOW_US + 5 * S)
    world.send(catalogue.TELEMETRY_LOGS, None, promise_us=NOW_US + 9 * S)
    running.pass_s()
    assert observer.looks[-1] == NOW_US + 5 * S - 2 * S
    world.promise(NOW_US + 10 * S)
    running.pass_s()
    assert observer.looks[-1] == NOW_US + 10 * S - 2 * S


def test_a_writer_that_joins_the_run_is_waited_for(world: World, observer: ScriptedObserver) -> None:
    running = Running(world, observer)
    world.promise(NOW_US + 5 * S)
    running.pass_s()
    second = writer_of(catalogue.TELEMETRY_TRACES, "collector-2", NOW_US + 15 * S)
    world.record_run(second)
    world.promise(NOW_US + 30 * S)
    running.pass_s()
    assert observer.looks[-1] == NOW_US + 15 * S - 2 * S
    for partition in range(PARTITIONS):
        world.send(
            catalogue.TELEMETRY_TRACES,
            SPANS if partition else None,
            promise_us=NOW_US + 30 * S,
            partition=partition,
            writer="collector-2",
        )
    running.pass_s()
    assert observer.looks[-1] == NOW_US + 30 * S - 2 * S
    assert len(observer.batches) == 1


def test_what_cannot_be_read_holds_nothing_up(world: World, observer: ScriptedObserver) -> None:
    running = Running(world, observer)
    traces = catalogue.TELEMETRY_TRACES
    world.put(traces, SPANS, key=b"cart", partition=0)
    world.send(traces, b"rubbish", promise_us=NOW_US)
    world.send(traces, SPANS, promise_us=NOW_US, writer="nobody")
    world.send(traces, SPANS, promise_us=NOW_US - S)
    world.put(catalogue.EXPERIMENTS, b"rubbish", key=b"run-1", partition=0)
    world.send(traces, SPANS, promise_us=NOW_US + S)
    running.pass_s()
    # Neither the unstamped, the unreadable, the undeclared writer's, nor the promise that was taken back.
    assert len(observer.batches) == 1
    assert running.handlers.rejected == 5


def test_a_finding_is_published_under_the_stamp_of_the_observer(
    world: World, observer: ScriptedObserver
) -> None:
    running = Running(world, observer)
    world.promise(NOW_US)
    observer.findings = [finding(1)]
    running.pass_s()
    assert world.effects() == [finding(1)]
    (message,) = [each for each in world.messages(catalogue.FAULT_EFFECTS) if each.value]
    assert message.key == b"cart"
    assert Stamp.read(message.headers).writer == "effect-observer"


def test_windows_wait_for_an_observer_that_falls_behind(world: World, observer: ScriptedObserver) -> None:
    """What it promises is no later than the promises of the telemetry that it has worked through."""
    running = Running(world, observer)
    world.promise(NOW_US + S)
    running.pass_s(1)
    running.pass_s(1)
    assert world.promised_us() == NOW_US + S
    # Telemetry flows on, and this process is busy with something else.
    world.promise(NOW_US + 60 * S)
    world.clock.advance(60 * S)
    running.writer.tick()
    assert world.promised_us() == NOW_US + S
    running.pass_s()
    running.pass_s()
    assert world.promised_us() == NOW_US + 60 * S


def test_an_observer_promises_nothing_that_lies_ahead(world: World, observer: ScriptedObserver) -> None:
    running = Running(world, observer)
    world.promise(FOREVER_US)
    running.pass_s()
    running.pass_s()
    assert world.promised_us() == world.clock()


def test_a_finding_that_the_broker_was_too_busy_for_is_published_later(
    world: World, observer: ScriptedObserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = Running(world, observer)
    world.promise(NOW_US)
    observer.findings = [finding(1), finding(2)]
    with monkeypatch.context() as patch:

        def busy(*_: object, **__: object) -> None:
            raise Retryable("the queue is full")

        patch.setattr(running.writer, "send", busy)
        with pytest.raises(Retryable):
            running.pass_s()
    assert world.effects() == []
    running.pass_s()
    assert world.effects() == [finding(1), finding(2)]


def test_effects_are_looked_for_five_times_a_second_at_the_most(
    world: World, observer: ScriptedObserver
) -> None:
    running = Running(world, observer)
    world.promise(NOW_US)
    for _ in range(20):
        running.pass_s(0.1)
    assert len(observer.looks) == 10


def test_a_restart_knows_what_was_published_and_reads_the_run_back(world: World) -> None:
    first = ScriptedObserver()
    running = Running(world, first)
    world.send(catalogue.TELEMETRY_TRACES, SPANS, promise_us=NOW_US)
    world.send(catalogue.SERVICE_FAULTS, FAULT, promise_us=NOW_US)
    world.promise(NOW_US)
    first.findings = [finding(1), finding(2)]
    running.pass_s()
    running.stop()
    world.put(catalogue.FAULT_EFFECTS, b"rubbish", key=b"cart", partition=0)
    second = ScriptedObserver()
    again = Running(world, second)
    again.pass_s()
    assert second.known == [finding(1), finding(2)]
    assert (len(second.batches), len(second.faults)) == (1, 1)
    assert all(isinstance(each, FaultEffect) for each in second.known)


def test_telemetry_is_read_back_no_further_than_asked_for(world: World, observer: ScriptedObserver) -> None:
    world.send(catalogue.TELEMETRY_TRACES, SPANS, promise_us=NOW_US)
    world.send(catalogue.SERVICE_FAULTS, FAULT, promise_us=NOW_US)
    # The broker in memory stamps by the wall clock, which is years later.
    newest_us = max(each.timestamp_us for topic in READ for each in world.messages(topic))
    world.clock.advance(newest_us + 60 * S - world.clock())
    running = Running(world, observer, look_back_s=30)
    running.pass_s()
    assert (len(observer.batches), len(observer.faults)) == (0, 1)


def test_an_observer_needs_the_id_of_its_run() -> None:
    with pytest.raises(ValueError, match="run_id"):
        Running(World(), ScriptedObserver(), run_id="")
