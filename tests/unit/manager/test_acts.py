"""Acts of placement on their topic: in the run that goes on, stamped, each version once or more often."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from cut_links import Link
from managers import ASIA, EUROPE, Fleet, fleet

from microservo.adapters.broker import Broker
from microservo.adapters.clock import now_us
from microservo.domain.join import process_message
from microservo.domain.watermarks import NEVER_WAITS_US
from microservo.domain.window_policy import WindowPolicy
from microservo.domain.windows import Windower
from microservo.errors import Retryable
from microservo.log.reader import read_state, read_topic
from microservo.log.run_records import write_run
from microservo.testing import MemoryBroker, eventually
from schemas.catalogue import EXPERIMENTS, SERVICE_ACTIONS, TELEMETRY_METRICS
from schemas.codec import decode_as
from schemas.envelope import FOREVER_US, Stamp
from schemas.records import Experiment, MetricBatch, RunWriter, ServiceAction, WindowAction
from services.manager import acts
from services.manager.acts import ActionPublisher

PARTITIONS = 2
BEGUN = ServiceAction(
    run_id="",
    service="front",
    decision_id="launch-1",
    version=1,
    manager="master",
    policy="rules",
    what="launch",
    origin="command",
    decided_by="ana",
    why="asked for by ana",
    decided_us=1,
    begun_us=1,
)
ENDED = replace(BEGUN, version=2, serving_us=2, ended_us=2, outcome="done", is_final=True)
OTHER = replace(ENDED, decision_id="stop-2", what="stop", version=1)


@pytest.fixture(autouse=True)
def _no_earlier_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acts, "SETTLE_S", 0.0)


@pytest.fixture
def world() -> Iterator[Fleet]:
    with fleet(MemoryBroker()) as found:
        yield found


def run_of(run_id: str, **changes: object) -> Experiment:
    """A run in which the master has been declared for long, so that it may write at once."""
    run = Experiment(
        run_id=run_id,
        status="running",
        seed=0,
        target="test",
        started_at_us=now_us(),
        window_us=5_000_000,
        first_cut_us=2_000_000,
        final_cut_us=30_000_000,
        start_offsets={},
        end_offsets={},
        versions={},
        writers=(
            RunWriter(
                topic=SERVICE_ACTIONS,
                writer="manager-master",
                from_us=1,
                first_cut_us=NEVER_WAITS_US,
                final_cut_us=30_000_000,
            ),
        ),
    )
    return replace(run, **changes)  # type: ignore[arg-type]


def record(world: Fleet, run: Experiment) -> None:
    write_run(world.broker, run, process="system", clock=now_us)


def told(world: Fleet) -> list[tuple[str, str, int]]:
    """Run, decision and version of what is on the topic, in order."""
    found = [
        decode_as(ServiceAction, each.value)
        for each in read_topic(world.broker, SERVICE_ACTIONS)
        if each.value
    ]
    return [(each.run_id, each.decision_id, each.version) for each in found]


def stamps(world: Fleet) -> list[Stamp]:
    return [Stamp.read(each.headers) for each in read_topic(world.broker, SERVICE_ACTIONS)]


class Steps:
    """A publisher that goes on when it is told to, each time a second later."""

    def __init__(self, world: Fleet, run_id: str = "", broker: Broker | None = None) -> None:
        self.now_us = now_us()
        self.publisher = ActionPublisher(
            "master",
            run_id=run_id,
            topic_prefix="",
            reading=world.broker,
            writing=broker or world.broker,
            clock=lambda: self.now_us,
        )

    def publish(self, *actions: ServiceAction) -> None:
        self.publisher.publish(actions)
        self.now_us += 1_000_000
        self.publisher.advance()


def published(world: Fleet) -> ActionPublisher:
    """A publisher with its thread."""
    found = ActionPublisher(
        "master", run_id="", topic_prefix="", reading=world.broker, writing=world.broker, clock=now_us
    )
    found.start()
    return found


def test_where_no_run_goes_on_nothing_is_published(world: Fleet) -> None:
    record(world, run_of("over", status="finished"))
    steps = Steps(world)
    steps.publish(BEGUN, ENDED)
    assert stamps(world) == []
    record(world, run_of("run-1"))
    steps.publish(OTHER)
    assert told(world) == [("run-1", "stop-2", 1)]


def test_a_run_that_begins_is_told_of_what_is_under_way_and_of_nothing_that_is_over(world: Fleet) -> None:
    steps = Steps(world)
    steps.publish(BEGUN, OTHER)
    record(world, run_of("run-1"))
    steps.publish()
    assert told(world) == [("run-1", "launch-1", 1)]
    steps.publish(ENDED)
    assert told(world) == [("run-1", "launch-1", 1), ("run-1", "launch-1", 2)]


def test_of_several_runs_the_newest_is_written_in_unless_one_is_named(world: Fleet) -> None:
    record(world, run_of("older", started_at_us=1))
    record(world, run_of("newer", started_at_us=2))
    Steps(world).publish(BEGUN)
    assert told(world) == [("newer", "launch-1", 1)]
    Steps(world, run_id="older").publish(OTHER)
    assert sorted(told(world)) == [("newer", "launch-1", 1), ("older", "stop-2", 1)]


def test_what_waited_for_a_broker_that_was_away_is_stamped_no_later_than_it_was_given(world: Fleet) -> None:
    """So windows wait for it, and it is late for none that it was in time for."""
    record(world, run_of("run-1"))
    link = Link(world.broker)
    steps = Steps(world, broker=link)
    steps.publish()
    link.is_cut.set()
    given_us = steps.now_us
    with pytest.raises(Retryable):
        steps.publish(BEGUN)
    with pytest.raises(Retryable):
        steps.publish()
    link.is_cut.clear()
    steps.publish()
    assert told(world) == [("run-1", "launch-1", 1)]
    (told_at,) = [
        Stamp.read(each.headers) for each in read_topic(world.broker, SERVICE_ACTIONS) if each.value
    ]
    assert told_at.watermark_us == given_us


def test_silence_carries_heartbeats_and_each_message_its_writers_promise(world: Fleet) -> None:
    record(world, run_of("run-1"))
    with published(world) as publisher:
        publisher.publish([BEGUN])
        eventually(lambda: len(stamps(world)) > 3 * PARTITIONS, timeout_s=20)
    windowers = [Windower(WindowPolicy()) for _ in range(PARTITIONS)]
    for windower in windowers:
        windower.open_run("run-1", run_of("run-1").writers)
    for message in read_topic(world.broker, SERVICE_ACTIONS):
        process_message(windowers[message.partition], SERVICE_ACTIONS, message.value, message.headers)
    ends_us = [each.action_ends_us("run-1", "front", "launch-1") for each in windowers]
    assert max(ends_us) > now_us(), "it goes on"
    assert {(each.run, each.writer) for each in stamps(world)} == {("run-1", "manager-master")}


def test_who_ends_in_order_leaves_the_run_and_comes_back_under_another_name(world: Fleet) -> None:
    record(world, run_of("run-1"))
    publisher = published(world)
    publisher.publish([BEGUN])
    eventually(lambda: told(world), timeout_s=20)
    publisher.publish([ENDED])
    assert publisher.leave(20)
    assert told(world)[-1] == ("run-1", "launch-1", 2)
    assert sum(each.watermark_us == FOREVER_US for each in stamps(world)) == PARTITIONS
    (writer,) = read_state(world.broker, EXPERIMENTS, Experiment)["run-1"].writers
    assert writer.until_us is not None
    with published(world):
        eventually(lambda: names_in(world) == ["manager-master", "manager-master/2"], timeout_s=20)


def names_in(world: Fleet) -> list[str]:
    return [each.writer for each in read_state(world.broker, EXPERIMENTS, Experiment)["run-1"].writers]


def test_who_was_killed_goes_on_under_its_name_and_learns_what_it_had_left_open(world: Fleet) -> None:
    record(world, run_of("run-1"))
    with published(world) as first:
        first.publish([BEGUN, OTHER, replace(BEGUN, decision_id="of-a-worker", manager="w-asia")])
        eventually(lambda: len(told(world)) == 3, timeout_s=20)
    left: list[ServiceAction] = []
    with published(world) as second:

        def found() -> list[ServiceAction]:
            left.extend(second.left_open())
            return left

        eventually(found, timeout_s=20, what="what was left open")
        assert left == [replace(BEGUN, run_id="run-1")]
        second.publish([ENDED])
        eventually(lambda: told(world)[-1] == ("run-1", "launch-1", 2), timeout_s=20)
        assert second.left_open() == []
    promised: dict[tuple[int, int], int] = {}
    for message in read_topic(world.broker, SERVICE_ACTIONS):
        stamp = Stamp.read(message.headers)
        assert stamp.sequence == promised.get((message.partition, 0), -1) + 1, "no message is missing"
        promised[message.partition, 0] = stamp.sequence
    assert names_in(world) == ["manager-master"]


def test_a_container_that_a_manager_moves_is_on_the_windows_of_its_service(world: Fleet) -> None:
    run = run_of("run-1")
    record(world, run)
    world.manager()
    world.client.manager.create("settings/manager", migration_delay_us=1_000_000)
    world.add_hosts("berlin", "tokyo")
    world.add_service()
    (old,) = world.client.manager.launch("front", near=EUROPE, finish_s=20).containers
    (new,) = world.client.manager.migrate(old, near=ASIA, finish_s=20).containers
    eventually(lambda: any(each.is_final and each.what == "move" for each in acts_of(world)), timeout_s=20)
    (move,) = [each for each in acts_of(world) if each.is_final and each.what == "move"]
    (manager,) = run.writers
    sender = replace(manager, topic=TELEMETRY_METRICS, writer="w", first_cut_us=2_000_000)
    carried: list[WindowAction] = []
    for partition in range(PARTITIONS):
        windower = Windower(WindowPolicy())
        windower.open_run("run-1", (manager, sender))
        begun_us = move.begun_us or 0
        windower.telemetry(point_at(begun_us), stamp_at(begun_us, "w"))
        for message in read_topic(world.broker, SERVICE_ACTIONS):
            if message.partition == partition:
                process_message(windower, SERVICE_ACTIONS, message.value, message.headers)
        windower.heartbeat(TELEMETRY_METRICS, stamp_at(begun_us + 600_000_000, "w"))
        windower.heartbeat(SERVICE_ACTIONS, stamp_at(begun_us + 600_000_000, "manager-master"))
        carried += [each for window in windower.close() for each in window.labelled_window().actions]
    *_, found = [each for each in carried if each.what == "move"]
    assert (found.container, found.replaces, found.origin) == (new, old, "command")
    assert (found.from_host, found.from_region, found.to_host, found.to_region) == (
        *("berlin", "Europe", "tokyo", "Asia"),
    )
    assert (found.outcome, found.requests_lost) == ("done", 0)
    assert found.cost_host_s is not None
    assert found.cost_host_s >= 1.0, "for so long both have run"


def acts_of(world: Fleet) -> list[ServiceAction]:
    found = read_topic(world.broker, SERVICE_ACTIONS)
    return [decode_as(ServiceAction, each.value) for each in found if each.value]


def stamp_at(at_us: int, writer: str) -> Stamp:
    return Stamp(run="run-1", watermark_us=at_us, writer=writer, sequence=0, total=0)


def point_at(at_us: int) -> MetricBatch:
    return MetricBatch(
        run_id="run-1",
        service="front",
        instances=("front-0",),
        names=("cpu",),
        time_us=np.array([at_us], "<i8").tobytes(),
        instance=bytes(2),
        name=bytes(2),
        value=np.ones(1).tobytes(),
    )


def test_who_was_taken_out_of_the_run_tells_again_under_another_name_what_may_have_been_refused(
    world: Fleet,
) -> None:
    run = run_of("run-1")
    record(world, run)
    steps = Steps(world)
    steps.publish(BEGUN)
    (first,) = run.writers
    again = replace(first, writer="manager-master/2")
    record(world, replace(run, writers=(replace(first, until_us=steps.now_us), again)))
    steps.publish(ENDED)
    found = [
        (Stamp.read(each.headers).writer, decode_as(ServiceAction, each.value).version)
        for each in read_topic(world.broker, SERVICE_ACTIONS)
        if each.value
    ]
    assert found == [("manager-master", 1), ("manager-master/2", 1), ("manager-master/2", 2)]


def test_when_a_run_is_over_nothing_more_is_written_in_it(world: Fleet) -> None:
    record(world, run_of("run-1"))
    steps = Steps(world)
    steps.publish(BEGUN)
    record(world, run_of("run-1", status="finished"))
    steps.publish(ENDED)
    record(world, run_of("run-2"))
    steps.publish(OTHER)
    assert told(world) == [("run-1", "launch-1", 1), ("run-2", "stop-2", 1)]


def test_a_broker_without_the_topic_ends_no_manager(world: Fleet) -> None:
    record(world, run_of("run-1"))
    broker = MemoryBroker()
    with ActionPublisher(
        "master", run_id="", topic_prefix="elsewhere-", reading=broker, writing=broker, clock=now_us
    ) as publisher:
        publisher.start()
        publisher.publish([BEGUN])
        assert publisher.leave(20)


def test_a_manager_tells_of_what_it_does_from_the_decision_to_the_end(world: Fleet) -> None:
    record(world, run_of("run-1"))
    manager = world.manager()
    world.add_hosts("berlin")
    world.add_service()
    (name,) = world.client.manager.launch("front", near=EUROPE, finish_s=20).containers
    world.client.manager.stop(name, finish_s=20)

    def newest() -> dict[str, ServiceAction]:
        found = read_topic(world.broker, SERVICE_ACTIONS)
        acts_told = [decode_as(ServiceAction, each.value) for each in found if each.value]
        return {each.what: each for each in sorted(acts_told, key=lambda each: each.version)}

    eventually(lambda: "stop" in newest() and newest()["stop"].is_final, timeout_s=20)
    launch, stop = newest()["launch"], newest()["stop"]
    assert (launch.container, launch.to_host, launch.outcome) == (name, "berlin", "done")
    assert (stop.container, stop.from_host, stop.outcome, stop.requests_lost) == (name, "berlin", "done", 0)
    assert launch.decided_us <= (launch.begun_us or 0) <= (launch.ended_us or 0) <= (stop.begun_us or 0)
    assert {each.origin for each in (launch, stop)} == {"command"}
    decisions = {each.decision_id for each in world.client.manager.events() if each.state == "decided"}
    assert {launch.decision_id, stop.decision_id} <= decisions
    manager.stop()
