"""Reading a topic as records, from any point in time."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Literal, Self

from microservo.adapters.broker import Broker, Consumer, Message, Partition
from microservo.errors import InvalidInput, Retryable
from schemas.codec import SchemaError, decode
from schemas.envelope import HEARTBEAT_KEY

Start = Literal["earliest", "latest"] | datetime

_BATCH = 1000
_POLL_S = 0.2
_STALL_ROUNDS = 150
"""Empty rounds of polling, half a minute, after which an end that was seen counts as out of reach."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A message with the record that it holds.

    Attributes:
        record: one of `schemas.records`; None for a tombstone, or where `problem` says why it can't be read.
    """

    record: object | None
    message: Message
    problem: str = ""


class Subscription(Iterator[Received]):
    """The messages of one topic, in the order of each partition; heartbeats are left out.

    Without a group it reads on its own and commits nothing. In a group, members share the partitions, and
    what was taken is committed when more is asked for: if the taker fails it is not lost, but may come twice.

    Args:
        topic: physical name.
        start: where to begin. In a group it counts only where the group has not committed yet.
        until_end: end after what is on the topic now, instead of waiting for more.
        group_id: the group to join.

    Raises:
        InvalidInput: no such topic, or a group is to start at an instant or to end.
    """

    def __init__(
        self,
        broker: Broker,
        topic: str,
        *,
        start: Start = "latest",
        until_end: bool = False,
        group_id: str | None = None,
    ) -> None:
        if group_id is not None and (until_end or isinstance(start, datetime)):
            msg = f"group {group_id!r} can't start at an instant or stop at the end; leave the group out"
            raise InvalidInput(msg)
        self._group_id = group_id
        self._taken: dict[Partition, int] = {}
        self._waiting: deque[Message] = deque()
        self._empty_rounds = 0
        self._until: Mapping[Partition, int] | None = None
        self._consumer = broker.consumer(
            group_id=group_id, start="earliest" if isinstance(start, datetime) else start
        )
        try:
            self._begin(topic, start, until_end=until_end)
        except BaseException:
            self._consumer.close()
            raise

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Received:
        """The next message; waits for it."""
        while not self._is_at_end():
            if received := self.poll(_POLL_S):
                return received
            if self._until is not None and self._empty_rounds > _STALL_ROUNDS:
                msg = f"the topic's end at {dict(self._until)} was not reached; the broker may be down"
                raise Retryable(msg)
        raise StopIteration

    def poll(self, timeout_s: float) -> Received | None:
        """The next message if there is one within `timeout_s` seconds."""
        if not self._waiting:
            self._commit()
            self._waiting.extend(self._consumer.consume(_BATCH, timeout_s))
            self._empty_rounds = 0 if self._waiting else self._empty_rounds + 1
        while self._waiting:
            message = self._waiting.popleft()
            where = Partition(message.topic, message.partition)
            self._taken[where] = message.offset + 1
            beyond = self._until is not None and message.offset >= self._until[where]
            if message.key != HEARTBEAT_KEY and not beyond:
                return received_from(message)
        return None

    def close(self) -> None:
        """Leaves the topic; what was taken last is not committed, its taker may not have finished."""
        self._consumer.close()

    def _begin(self, topic: str, start: Start, *, until_end: bool) -> None:
        partitions = self._consumer.partitions(topic)
        if self._group_id is not None:
            self._consumer.subscribe([topic])
            return
        self._taken = {each: _position(self._consumer, each, start) for each in partitions}
        if until_end:
            self._until = {each: self._consumer.offset_range(each)[1] for each in partitions}
        self._consumer.assign(self._taken)

    def _is_at_end(self) -> bool:
        if self._until is None:
            return False
        return all(self._taken[each] >= end for each, end in self._until.items())

    def _commit(self) -> None:
        if self._group_id is None or not self._taken:
            return
        # A partition that went to another member is read there from the last commit.
        with contextlib.suppress(Retryable):
            self._consumer.commit(self._taken)
        self._taken = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def received_from(message: Message) -> Received:
    """The message with its record, or with what is wrong with it."""
    reason = message.header("dlq_reason")
    if reason is not None:
        return Received(record=None, message=message, problem=reason.decode("utf-8", "replace"))
    if message.value is None:
        return Received(record=None, message=message)
    try:
        return Received(record=decode(message.value), message=message)
    except SchemaError as error:
        return Received(record=None, message=message, problem=str(error))


def _position(consumer: Consumer, partition: Partition, start: Start) -> int:
    first, end = consumer.offset_range(partition)
    if start == "earliest":
        return first
    if start == "latest":
        return end
    if start.tzinfo is None:
        msg = f"instant {start.isoformat()} has no time zone; add one, for example +00:00 or Z"
        raise InvalidInput(msg)
    return consumer.offset_at(partition, int(start.timestamp() * 1_000_000))
