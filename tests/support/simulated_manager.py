"""A manager that decides as a real one does, over a world in virtual time, and answers on the topics."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from microservo.adapters.broker import Broker
from microservo.domain.manager import actions as act
from microservo.domain.manager import events
from microservo.domain.manager.changes import deletion_headers, record_of
from microservo.domain.manager.entities import Entity, document_of, entity_key
from microservo.domain.manager.replica import Replica
from microservo.domain.manager.simulation import World
from microservo.log.subscription import Subscription
from schemas.catalogue import CONTROL_COMMANDS, CONTROL_EVENTS, SYSTEM_STATE
from schemas.codec import encode
from schemas.records import ControlCommand


class SimulatedManager:
    """The world, and its link to the topics.

    Args:
        broker: with the topics.
        entities: what there is at first.
    """

    def __init__(self, broker: Broker, entities: Iterable[Entity]) -> None:
        self._broker = broker
        self._producer = broker.producer()
        self._replica = Replica("master")
        found = tuple(entities)
        self.world = World(found)
        self._told = 0
        for entity in found:
            self._put(entity)
        # Until its hosts have been measured, none has room.
        self.world.run(6)
        self._tell()

    def answer(self, command: ControlCommand) -> None:
        """Decides on a command."""
        self.world.tell(events.CommandGiven(now_us=self.world.now_us, command=command))
        self._tell()

    def go_on(self) -> None:
        """Lets a second pass, and tells what came of it."""
        self.world.run(1)
        self._tell()

    def _tell(self) -> None:
        """Publishes what was decided since the last time."""
        decided = self.world.decisions[self._told :]
        self._told = len(self.world.decisions)
        for action in (each for wanted in decided for each in wanted):
            if isinstance(action, act.Put):
                self._put(action.entity)
            elif isinstance(action, act.Remove):
                self._replica.delete(action.key, self.world.now_us)
                self._offer()
            elif isinstance(action, act.Report):
                event = action.event
                self._producer.send(CONTROL_EVENTS, key=event.entity.encode(), value=encode(event))
        self._producer.flush(10)

    def _put(self, entity: Entity) -> None:
        key, document = entity_key(entity), document_of(entity)
        known = self._replica.view(key)
        if known is None or known.is_deletion:
            self._replica.create(key, document, self.world.now_us)
        else:
            self._replica.update(key, document, self.world.now_us)
        self._offer()

    def _offer(self) -> None:
        for change in self._replica.offers():
            key = change.entity.encode()
            if change.is_deletion:
                headers = deletion_headers(change)
                self._producer.send(SYSTEM_STATE, key=key, value=None, headers=headers)
            else:
                self._producer.send(SYSTEM_STATE, key=key, value=encode(record_of(change)))
            self._replica.read(change)


@contextmanager
def managed(broker: Broker, entities: Iterable[Entity]) -> Iterator[SimulatedManager]:
    """A manager that answers commands until the end of the block."""
    manager = SimulatedManager(broker, entities)
    is_over = threading.Event()
    with Subscription(broker, CONTROL_COMMANDS, start="latest") as coming:

        def answer_all() -> None:
            while not is_over.is_set():
                received = coming.poll(0.02)
                if received is not None and isinstance(received.record, ControlCommand):
                    manager.answer(received.record)
                else:
                    manager.go_on()

        thread = threading.Thread(target=answer_all, daemon=True)
        thread.start()
        try:
            yield manager
        finally:
            is_over.set()
            thread.join(30)
