"""What this process and all others know alike: the entities on `system-state`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from microservo.adapters.broker import Message
from microservo.domain.manager import actions as act
from microservo.domain.manager import events
from microservo.domain.manager.changes import Change, deletion_headers, life_began, record_of
from microservo.domain.manager.entities import document_of, entity_key, entity_of
from microservo.domain.manager.replica import FORGET_US, Replica
from microservo.errors import Fatal, InvalidInput, InvalidMessage
from microservo.log.resending import Deletion
from microservo.log.system_state import change_in
from schemas.records import EntityChange

logger = logging.getLogger(__name__)


class SharedState:
    """The entities as the log has them and as this process has changed them.

    Args:
        name: of the process: master, or that of a worker.
        clock: epoch microseconds UTC.
        life_us: when this life of the process began.
    """

    def __init__(self, name: str, clock: Callable[[], int], *, life_us: int) -> None:
        self._replica = Replica(name, life_us=life_us)
        self._clock = clock
        self._told: dict[str, tuple[str, str | None]] = {}
        """Owner and document of each entity as the decider knows it."""
        self.silent: frozenset[str] = frozenset()
        """Processes that the master speaks for."""

    def begin_life(self, life_us: int) -> EntityChange:
        """Has all that is written from now on say this life; what to publish before anything is read."""
        self._replica.life_us = life_us
        return record_of(life_began(self._replica.name, life_us))

    def write(self, action: act.Put | act.Remove | act.Assign) -> Iterator[events.EntityChanged]:
        """Enters what the decider has changed; where that can't be, tells it what holds.

        Its own state has the change already.
        """
        key = action.key if not isinstance(action, act.Put) else entity_key(action.entity)
        try:
            self._write(action, key)
        except InvalidInput as error:
            logger.warning("a decision is taken back: %s", error)
        else:
            change = self._replica.view(key)
            assert change is not None, "it was just written"
            self._told[key] = change.owner, change.document
            return
        yield from self._news(key)

    def read(self, message: Message) -> Iterator[events.EntityChanged]:
        """Enters the next message of the log, and tells what is new by it.

        Raises:
            InvalidMessage: it says nothing; it belongs on the dead-letter topic.
            Fatal: a later life of this process writes, so nothing that this one writes is taken any more.
        """
        change = change_in(message)
        if change.writer == self._replica.name and change.life_us > self._replica.life_us:
            raise Fatal(later_life(self._replica.name))
        read = self._replica.read(change)
        for dropped in read.dropped:
            logger.warning("a change is dropped: %s", dropped.reason)
        yield from self._news(change.entity)

    def outgoing(self, *, is_at_end: bool) -> list[EntityChange | Deletion]:
        """What is to be published now, in this order.

        Args:
            is_at_end: all of the log was read, so that what was refused may be said right.
        """
        now_us = self._clock()
        if is_at_end:
            self._replica.correct(now_us, silent=self.silent)
            self._replica.forget(now_us - FORGET_US)
        return [_message_of(change) for change in self._replica.offers()]

    def _write(self, action: act.Put | act.Remove | act.Assign, key: str) -> None:
        now_us = self._clock()
        known = self._replica.view(key)
        if isinstance(action, act.Remove):
            if known is not None and not known.is_deletion:
                self._replica.delete(key, now_us)
        elif isinstance(action, act.Assign):
            self._replica.assign(key, action.owner, now_us)
        elif known is None or known.is_deletion:
            self._replica.create(key, document_of(action.entity), now_us, owner=action.owner)
        else:
            self._replica.update(key, document_of(action.entity), now_us)

    def _news(self, key: str) -> Iterator[events.EntityChanged]:
        change = self._replica.view(key)
        found = ("", None) if change is None else (change.owner, change.document)
        if self._told.get(key, ("", None)) == found:
            return
        self._told[key] = found
        owner, document = found
        try:
            entity = None if document is None else entity_of(key, document)
        except InvalidInput as error:
            # Of another version of the program: what can't be understood can't be managed either.
            raise InvalidMessage(str(error)) from error
        yield events.EntityChanged(now_us=self._clock(), key=key, entity=entity, owner=owner)


def later_life(name: str) -> str:
    """Why a process ends when it hears of a later one of its name."""
    return f"a later process manages as {name!r}, so this one ends; give one of them another name"


def _message_of(change: Change) -> EntityChange | Deletion:
    if change.is_deletion:
        return Deletion(record_type=EntityChange, key=change.entity, headers=deletion_headers(change))
    return record_of(change)
