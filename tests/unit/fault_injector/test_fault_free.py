"""What the record of a run says of the time without faults."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from microservo.adapters.broker import Broker
from microservo.errors import Retryable
from microservo.log import run_records
from microservo.log.run_records import write_run
from microservo.testing import eventually
from schemas.codec import decode_as
from schemas.records import Experiment
from services.fault_injector import fault_free
from tests.unit.fault_injector.harness import NOW_US, SECOND_US, Running, World, declaration, request

DECLARED_US = NOW_US + 60 * SECOND_US
RUN = Experiment(
    run_id="run-1",
    status="running",
    seed=7,
    target="test",
    started_at_us=NOW_US - 100 * SECOND_US,
    window_us=5 * SECOND_US,
    first_cut_us=SECOND_US,
    final_cut_us=SECOND_US,
    start_offsets={},
    end_offsets={},
    versions={},
    fault_free_until_us=DECLARED_US,
)


def begin(world: World, run: Experiment = RUN) -> Running:
    write_run(world.broker, run, process="system", clock=world.clock, topic_prefix="t-")
    return Running(world)


def fault_free_until_us(world: World) -> int | None:
    return decode_as(Experiment, world.messages("experiments")[-1].value or b"").fault_free_until_us


def test_it_ends_when_a_fault_begins() -> None:
    world = World()
    begin(world).ask(request())
    assert fault_free_until_us(world) == NOW_US


def test_it_ends_when_the_fault_is_to_begin_and_not_when_it_was_asked_for() -> None:
    world = World()
    running = begin(world)
    running.ask(request("f-1", start_at_us=NOW_US + 3600 * SECOND_US))
    assert fault_free_until_us(world) == DECLARED_US
    running.ask(request("f-2", start_at_us=NOW_US + 30 * SECOND_US))
    assert fault_free_until_us(world) == NOW_US + 30 * SECOND_US


def test_a_declared_fault_ends_it_when_that_began() -> None:
    world = World()
    begin(world).ask(declaration(start_at_us=NOW_US - 5 * SECOND_US))
    assert fault_free_until_us(world) == NOW_US - 5 * SECOND_US


def test_a_request_that_is_refused_ends_nothing() -> None:
    world = World()
    begin(world).ask(request(service="unknown", instances=()))
    assert fault_free_until_us(world) == DECLARED_US


@pytest.mark.parametrize("declared_us", [None, NOW_US - SECOND_US])
def test_where_none_was_declared_or_it_is_over_nothing_is_written(declared_us: int | None) -> None:
    world = World()
    running = begin(world, replace(RUN, fault_free_until_us=declared_us))
    written = len(world.messages("experiments"))
    running.ask(request("f-1")).ask(request("f-2"))
    assert len(world.messages("experiments")) == written


def test_a_fault_is_labelled_while_the_record_of_the_run_is_still_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    running = begin(world)
    # What acts on the target is not done before the record is asked for.
    running.workers.held = True

    def once_labelled(broker: Broker, run_id: str, *given: Any, **named: Any) -> Experiment | None:
        running.workers.held = False
        eventually(
            lambda: any(each.applied_at_us for each in world.faults("cart")),
            timeout_s=30,
            what="a label while the record is read",
        )
        return run_records.update_run(broker, run_id, *given, **named)

    monkeypatch.setattr(fault_free, "update_run", once_labelled)
    running.ask(request())
    assert fault_free_until_us(world) == NOW_US


def test_a_record_that_can_not_be_written_now_is_written_when_the_request_comes_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    running = begin(world)
    sent = running.send(request())

    def busy(*_given: Any, **_named: Any) -> None:
        msg = "the broker is busy"
        raise Retryable(msg)

    with monkeypatch.context() as patched:
        patched.setattr(fault_free, "update_run", busy)
        with pytest.raises(Retryable, match="busy"):
            running.handlers.requests(sent)
    assert fault_free_until_us(world) == DECLARED_US
    running.handlers.requests(sent)
    assert fault_free_until_us(world) == NOW_US
