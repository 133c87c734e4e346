"""Managers over a broker and infrastructure in memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import pytest
from cut_links import DeafLink
from managers import ASIA, EUROPE, Fleet, fleet

from microservo.application.command import Context
from microservo.application.connection import Connection
from microservo.application.manager_commands import GiveCommand
from microservo.application.table import execute
from microservo.domain.manager.actions import Report
from microservo.domain.manager.decide import decide
from microservo.domain.manager.journal import event_of
from microservo.domain.manager.state import SystemState
from microservo.errors import InvalidInput, Unavailable
from microservo.log.reader import read_topic
from microservo.platforms.driver import ContainerPlan, TaggedDriver
from microservo.testing import MemoryBroker, eventually
from schemas.catalogue import (
    ANOMALY_SCORES,
    CONTROL_COMMANDS,
    CONTROL_EVENTS,
    DEAD_LETTER_SUFFIX,
    MANAGER_HEARTBEATS,
    MANAGER_INPUTS,
)
from schemas.codec import decode_as, encode
from schemas.records import AnomalyScore, ControlEvent, ManagerInput
from services.manager import orphans, service


@pytest.fixture
def world() -> Iterator[Fleet]:
    with fleet(MemoryBroker()) as found:
        yield found


def test_minimum_replicas_are_launched_and_one_that_is_killed_is_back_within_five_seconds(
    world: Fleet,
) -> None:
    world.manager()
    world.add_hosts("berlin", "tokyo")
    world.add_service(minimum_replicas=2)
    eventually(lambda: len(world.running()) == 2, timeout_s=20, what="two replicas")
    eventually(lambda: set(world.states().values()) == {"running"}, timeout_s=5)
    victim = min(world.running())
    world.infrastructure.end(victim, -9)
    eventually(
        lambda: len(world.running()) == 2 and victim not in world.running(), timeout_s=5, what="another one"
    )
    eventually(lambda: victim not in world.states(), timeout_s=5)
    recovered = [event for event in world.client.manager.events() if event.action == "recover"]
    assert [(each.state, each.rule) for each in recovered] == [("decided", "recovery")]
    assert "exit code -9" in recovered[0].reason


def test_one_that_ends_again_and_again_is_given_up_after_three_times_and_said(world: Fleet) -> None:
    world.manager()
    world.add_hosts("berlin")
    world.add_service(minimum_replicas=1)
    ended: set[str] = set()

    def given_up() -> bool:
        for name in world.running().keys() - ended:
            ended.add(name)
            world.infrastructure.end(name, 1)
        return "given_up" in world.states().values()

    eventually(given_up, timeout_s=40, what="it is given up")
    assert len(ended) == 4, "the first one, and three that were brought back"
    (event,) = [each for each in world.client.manager.events() if each.state == "given_up"]
    assert "brought back 3 times in 10 min" in event.reason
    assert world.running() == {}


def test_told_again_from_its_topic_a_manager_decides_what_it_decided_to_the_last_byte(world: Fleet) -> None:
    manager = world.manager()
    world.add_hosts("berlin", "tokyo")
    world.add_service(minimum_replicas=2)
    eventually(lambda: len(world.running()) == 2, timeout_s=20)
    world.infrastructure.end(min(world.running()), -9)
    eventually(lambda: len(world.running()) == 2, timeout_s=5)
    with pytest.raises(InvalidInput):
        world.client.manager.launch("cart", near=EUROPE)
    world.client.manager.deploy_policy("random")
    world.infrastructure.end(min(world.running()), -9)
    eventually(lambda: len(world.running()) == 2, timeout_s=5)
    manager.stop()
    inputs = [decode_as(ManagerInput, each.value or b"") for each in read_topic(world.broker, MANAGER_INPUTS)]
    assert [each.number for each in inputs] == list(range(len(inputs)))
    state, again = SystemState(), []
    for each in inputs:
        decided = decide(state, event_of(each.event, each.document, each.at_us))
        again += [action.event for action in decided if isinstance(action, Report)]
    said = [decode_as(ControlEvent, each.value or b"") for each in read_topic(world.broker, CONTROL_EVENTS)]
    assert len(said) > 5
    assert again == said
    assert state.deployed.policy is not None
    assert state.deployed.policy.name == "random"


def test_a_manager_that_is_started_with_nothing_leaves_down_what_ends(world: Fleet) -> None:
    world.manager(policy="nothing")
    world.add_hosts("berlin")
    world.add_service(minimum_replicas=2)
    world.client.manager.launch("front", near=EUROPE, finish_s=20)
    assert len(world.running()) == 1
    world.infrastructure.end(min(world.running()), -9)
    eventually(lambda: list(world.states().values()) == ["down"], timeout_s=20)
    world.client.manager.deploy_policy("rules")
    eventually(lambda: len(world.running()) == 2, timeout_s=20, what="the minimum is kept again")


def test_a_manager_is_not_started_with_a_policy_that_is_not_there(world: Fleet) -> None:
    with pytest.raises(InvalidInput, match="there is no policy 'best' here"):
        world.manager(policy="best")


def test_an_orderly_end_stops_what_was_started_and_nothing_else(world: Fleet) -> None:
    others = TaggedDriver(world.infrastructure, managed_by="somebody else")
    manager = world.manager()
    world.add_hosts("berlin", "tokyo")
    others.launch(ContainerPlan(id="theirs", service="back", host="berlin"))
    world.add_service(minimum_replicas=2)
    eventually(lambda: len(world.running()) == 2, timeout_s=20)
    manager.stop()
    assert world.running() == {}
    assert [each.id for each in others.containers()] == ["theirs"] or others.hosts() == []
    assert world.states() == {}, "nothing is left that the next life would take for its own"
    said = [each for each in world.client.manager.events() if each.rule == "ending"]
    assert [each.action for each in said] == ["stop", "stop"]
    assert not [each for each in world.client.manager.events() if each.action == "recover"]


def test_what_runs_is_adopted_by_the_next_life_and_what_ended_meanwhile_is_brought_back(world: Fleet) -> None:
    first = world.manager()
    world.add_hosts("berlin", "tokyo")
    world.add_service(minimum_replicas=2)
    eventually(lambda: set(world.states().values()) == {"running"} and len(world.states()) == 2, timeout_s=20)
    first.kill()
    lost, kept = sorted(world.running())
    world.infrastructure.end(lost, -9)
    world.manager()
    eventually(lambda: len(world.running()) == 2 and lost not in world.states(), timeout_s=15)
    assert kept in world.running()


def test_a_migration_goes_on_in_the_next_life(world: Fleet) -> None:
    first = world.manager()
    world.client.manager.create("settings/manager", migration_delay_us=3_000_000)
    world.add_hosts("berlin", "tokyo")
    world.add_service()
    launched = world.client.manager.launch("front", near=EUROPE, finish_s=20)
    (old,) = launched.containers
    moved = world.client.manager.migrate(old, near=ASIA, finish_s=20)
    (new,) = moved.containers
    first.kill()
    assert set(world.running()) == {old, new}
    world.manager()
    eventually(lambda: set(world.running()) == {new}, timeout_s=20, what="the old one is stopped")
    eventually(lambda: world.states() == {new: "running"}, timeout_s=5)
    assert world.running()[new] == "tokyo"


def test_a_command_that_comes_again_in_the_next_life_is_carried_out_once(world: Fleet) -> None:
    first = world.manager()
    world.add_hosts("berlin")
    world.add_service()
    command = GiveCommand(
        action="launch", entity="service/front", arguments={"host": "berlin"}, command_id="c-1", finish_s=20
    )
    context = Context(lambda: Connection(broker=world.broker, topic_prefix=""))
    execute(command, context)
    first.kill()
    world.manager()
    with pytest.raises(Unavailable):
        execute(replace(command, answer_s=3.0), context)
    assert len(world.running()) == 1


def test_a_second_master_ends_the_first(world: Fleet) -> None:
    first = world.manager()
    world.add_hosts("berlin")
    second = world.manager()
    eventually(lambda: not first.is_alive, timeout_s=15, what="the first one has ended")
    assert "a later process manages as 'master'" in str(first.errors[0])
    world.add_service(minimum_replicas=1)
    eventually(lambda: len(world.running()) == 1, timeout_s=20)
    assert second.is_alive


def test_a_manager_that_can_not_ask_whether_it_was_replaced_goes_on(
    world: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = DeafLink(world.broker)
    manager = world.manager(broker=link)
    eventually(lambda: heartbeats(world) > 0, timeout_s=20, what="its first heartbeat")
    # It asks at each round, and no more than after it stood still.
    monkeypatch.setattr(service, "_STILL_US", -1)
    link.is_cut.set()
    before = heartbeats(world)
    eventually(lambda: heartbeats(world) >= before + 2, timeout_s=20, what="further heartbeats")
    assert manager.errors == []


def heartbeats(world: Fleet) -> int:
    return len(list(read_topic(world.broker, MANAGER_HEARTBEATS)))


def test_a_host_that_fails_loses_its_containers_to_others_and_takes_new_ones_when_it_is_back(
    world: Fleet,
) -> None:
    world.manager()
    world.add_hosts("berlin", "tokyo")
    world.add_service()
    (name,) = world.client.manager.launch("front", near=EUROPE, finish_s=20).containers
    assert world.running() == {name: "berlin"}
    world.infrastructure.fail_host("berlin", is_down=True)
    eventually(lambda: set(world.running().values()) == {"tokyo"}, timeout_s=10)
    eventually(lambda: world.ready() == {"tokyo"}, timeout_s=5)
    world.infrastructure.fail_host("berlin", is_down=False)
    eventually(lambda: world.ready() == {"berlin", "tokyo"}, timeout_s=10)


def test_what_ran_on_while_its_host_was_cut_off_ends_when_the_host_is_back_for_others_have_replaced_it(
    world: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphans, "PATIENCE_US", 2_000_000)
    world.manager()
    world.add_hosts("berlin", "tokyo")
    world.add_service(minimum_replicas=1)
    theirs = TaggedDriver(world.infrastructure, managed_by="somebody else")
    (name,) = world.client.manager.launch("front", near=EUROPE, finish_s=20).containers
    others = theirs.launch(ContainerPlan(id="theirs", service="back", host="berlin")).id
    world.infrastructure.cut_off("berlin", is_cut_off=True)
    eventually(lambda: set(world.running().values()) == {"tokyo"}, timeout_s=10)
    world.infrastructure.cut_off("berlin", is_cut_off=False)
    assert name in world.running()
    eventually(lambda: name not in world.running(), timeout_s=15, what="the old one is stopped")
    assert set(world.running().values()) == {"tokyo"}
    assert [each.id for each in theirs.containers()] == [others]
    (said,) = [
        each for each in world.client.manager.events() if each.action == "stop" and each.container == name
    ]
    assert "has been replaced or deleted" in said.reason


def test_a_second_master_leaves_what_runs_alone(world: Fleet) -> None:
    def inputs() -> int:
        return sum(1 for _ in read_topic(world.broker, MANAGER_INPUTS))

    first = world.manager()
    world.add_hosts("berlin", "tokyo")
    world.add_service(minimum_replicas=3)
    eventually(lambda: list(world.states().values()) == ["running"] * 3, timeout_s=20)
    before = {each.id: each.started_us for each in world.driver.containers()}
    second = world.manager()
    eventually(lambda: not first.is_alive, timeout_s=15)
    told = inputs()
    eventually(lambda: inputs() > told + 20, timeout_s=20)
    assert second.is_alive
    assert {each.id: each.started_us for each in world.driver.containers()} == before


def test_a_command_that_waited_for_a_manager_finds_room_at_once(world: Fleet) -> None:
    first = world.manager()
    world.add_hosts("berlin")
    world.add_service()
    first.kill()
    waiting = GiveCommand(
        action="launch",
        entity="service/front",
        arguments={"latitude": "52", "longitude": "13"},
        answer_s=0.2,
    )
    with pytest.raises(Unavailable, match="no manager answered"):
        execute(waiting, Context(lambda: Connection(broker=world.broker, topic_prefix="")))
    world.manager()
    eventually(lambda: len(world.running()) == 1, timeout_s=20, what="it is launched")


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_an_algorithm_that_is_not_ready_says_nothing_and_ends_no_manager(world: Fleet, score: float) -> None:
    manager = world.manager()
    world.add_hosts("berlin")
    said = AnomalyScore(
        run_id="run",
        service="front",
        start_us=0,
        end_us=1,
        revision=0,
        algorithm="robust-z",
        score=score,
        scored_at_us=1,
        latency_us=1,
    )
    with world.broker.producer() as producer:
        producer.send(ANOMALY_SCORES, key=b"front", value=encode(said))
        producer.send(ANOMALY_SCORES, key=b"front", value=encode(replace(said, score=5.5)))
        producer.flush(5)

    def scores() -> list[str]:
        found = [
            decode_as(ManagerInput, each.value or b"") for each in read_topic(world.broker, MANAGER_INPUTS)
        ]
        return [each.document for each in found if each.event == "ServicesScored"]

    eventually(scores, timeout_s=20, what="the score after it")
    assert scores() == ['{"by_service":{"front":5.5},"field":"anomaly-score/robust-z"}']
    assert manager.is_alive


def test_bytes_that_are_no_command_are_put_aside_and_the_next_one_is_carried_out(world: Fleet) -> None:
    world.manager()
    world.add_hosts("berlin")
    with world.broker.producer() as producer:
        producer.send(CONTROL_COMMANDS, key=b"host/berlin", value=b"no command")
        producer.flush(5)
    world.add_service()
    (dead,) = read_topic(world.broker, CONTROL_COMMANDS + DEAD_LETTER_SUFFIX)
    assert dead.value == b"no command"
