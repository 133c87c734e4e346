"""Reading a topic as records, from any point in time."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Literal, Self

from microservo.adapters.broker import Broker, Message, Partition
from microservo.errors import InvalidInput, Retryable
from microservo.log import reader
from microservo.log.ranges import read_ranges
from schemas.codec import SchemaError, decode
from schemas.envelope import HEARTBEAT_KEY

Start = Literal["earliest", "latest"] | datetime

_BATCH = 1000
_POLL_S = 0.2


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
    what was read is committed when more is asked for: if the reader fails it is not lost, but may come twice.

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
        self._next: dict[Partition, int] = {}
        self._waiting: deque[Message] = deque()
        self._rest: Iterator[Message] | None = None
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
        while (received := self.poll(_POLL_S)) is None:
            if self._rest is not None:
                raise StopIteration
        return received

    def poll(self, timeout_s: float) -> Received | None:
        """The next message if there is one within `timeout_s` seconds, or before the end that was asked for.

        Raises:
            Retryable: the broker stopped giving messages before that end.
        """
        for message in self._arriving(timeout_s) if self._rest is None else self._rest:
            self._next[Partition(message.topic, message.partition)] = message.offset + 1
            if message.key != HEARTBEAT_KEY:
                return received_from(message)
        return None

    def close(self) -> None:
        """Leaves the topic; what was read last is not committed, since its reader may not have finished."""
        self._consumer.close()

    def _begin(self, topic: str, start: Start, *, until_end: bool) -> None:
        if self._group_id is not None:
            self._consumer.partitions(topic)  # one that is not there is refused here, not in the first poll
            self._consumer.subscribe([topic])
        elif until_end:
            ranges = reader.ranges_from(self._consumer, topic, _reader_start(start))
            self._rest = read_ranges(self._consumer, ranges, compacted=True)
        else:
            self._consumer.assign(reader.positions(self._consumer, topic, _reader_start(start)))

    def _arriving(self, timeout_s: float) -> Iterator[Message]:
        if not self._waiting:
            self._commit()
            self._waiting.extend(self._consumer.consume(_BATCH, timeout_s))
        while self._waiting:
            yield self._waiting.popleft()

    def _commit(self) -> None:
        if self._group_id is None or not self._next:
            return
        # A partition that went to another member is read there from the last commit.
        with contextlib.suppress(Retryable):
            self._consumer.commit(self._next)
        self._next = {}

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


def _reader_start(start: Start) -> reader.Start:
    if not isinstance(start, datetime):
        return start
    if start.tzinfo is None:
        msg = f"instant {start.isoformat()} has no time zone; add one, for example +00:00 or Z"
        raise InvalidInput(msg)
    return int(start.timestamp() * 1_000_000)
