"""What a manager makes of messages from other lives of others and of itself."""

from __future__ import annotations

import pytest

from microservo.adapters.broker import Message
from microservo.adapters.memory import MemoryBroker
from microservo.domain.manager import events
from microservo.domain.manager.accounting import Accounts
from microservo.domain.manager.changes import life_began, record_of
from microservo.errors import Fatal
from microservo.log.dead_letters import DeadLetters
from microservo.log.reader import read_topic
from microservo.log.topics import topic_specs
from schemas.catalogue import CONTROL_COMMANDS, DEAD_LETTER_SUFFIX, MANAGER_HEARTBEATS, SYSTEM_STATE
from schemas.codec import encode
from schemas.envelope import Headers
from schemas.records import ControlCommand, ManagerHeartbeat
from services.manager.inbox import Inbox, life_header
from services.manager.shared import SharedState

NOW_US = 1_700_000_000_000_000
LIFE_US = NOW_US - 5_000_000


def message(topic: str, record: object, headers: Headers = ()) -> Message:
    return Message(
        topic=topic,
        partition=0,
        offset=0,
        timestamp_us=NOW_US,
        key=b"",
        value=encode(record),
        headers=headers,
    )


def heartbeat(name: str, life_us: int) -> Message:
    record = ManagerHeartbeat(name=name, life_us=life_us, at_us=NOW_US, region="", next_command=0, running=())
    return message(MANAGER_HEARTBEATS, record)


def order(life_us: int | None) -> Message:
    command = ControlCommand(
        command_id=f"c-{life_us}",
        entity="container/front-1",
        action="stop",
        requested_at_us=NOW_US,
        requested_by="master",
        arguments={},
    )
    return message(CONTROL_COMMANDS, command, () if life_us is None else life_header(life_us))


class Worker:
    """The inbox of a worker, and what it has refused."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.broker.admin().ensure_topics(topic_specs(partitions=1))
        self._producer = self.broker.producer()
        name = "worker-asia"
        self._inbox = Inbox(
            name,
            LIFE_US,
            shared=SharedState(name, lambda: NOW_US, life_us=LIFE_US),
            accounts=Accounts(),
            prefix="",
            dead_letters=DeadLetters(self._producer, ""),
            clock=lambda: NOW_US,
        )

    def read(self, *messages: Message) -> list[events.Event]:
        return [event for each in messages for event in self._inbox.read(each)]

    def refused(self) -> int:
        self._producer.flush(10)
        return sum(1 for _ in read_topic(self.broker, CONTROL_COMMANDS + DEAD_LETTER_SUFFIX))


def test_a_heartbeat_of_a_life_that_is_over_says_nothing() -> None:
    worker = Worker()
    told = worker.read(heartbeat("master", 1), heartbeat("master", 2), heartbeat("master", 1))
    assert told == [events.Heartbeat(now_us=NOW_US, name="master")] * 2


def test_what_a_life_that_is_over_orders_is_refused_and_put_aside() -> None:
    worker = Worker()
    told = worker.read(order(1), heartbeat("master", 2), order(1), order(2), order(None))
    given = [each.command.command_id for each in told if isinstance(each, events.CommandGiven)]
    assert given == ["c-1", "c-2", "c-None"], "it knew of no other life at first; people have none"
    assert worker.refused() == 1


@pytest.mark.parametrize(
    "said",
    [
        heartbeat("worker-asia", LIFE_US + 1),
        message(SYSTEM_STATE, record_of(life_began("worker-asia", LIFE_US + 1))),
    ],
    ids=["heartbeat", "life"],
)
def test_a_process_that_hears_of_a_later_life_of_its_own_ends(said: Message) -> None:
    with pytest.raises(Fatal, match="a later process manages as 'worker-asia', so this one ends"):
        Worker().read(said)


def test_an_earlier_life_of_its_own_is_history() -> None:
    earlier = message(SYSTEM_STATE, record_of(life_began("worker-asia", LIFE_US - 1)))
    assert Worker().read(heartbeat("worker-asia", LIFE_US - 1), earlier) == []
