"""Writing to a topic that is joined: every message carries the writer's stamp, silence carries heartbeats.

A writer that was killed takes up its own stamps from the log, so a watermark never falls and a count never
skips. One that leaves a run for good writes a final stamp, and can't come back to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from microservo.adapters.broker import Broker, Consumer, Message, Partition
from microservo.errors import InvalidInput, Retryable
from schemas.codec import event_type
from schemas.envelope import FOREVER_US, HEARTBEAT_KEY, Headers, Stamp, cloud_event

HEARTBEAT_US = 500_000
_FIRST_LOOK_BACK = 64
_READ_TIMEOUT_S = 10.0
_CLOSE_TIMEOUT_S = 10.0
QUIET_US = 10 * HEARTBEAT_US
"""How long a writer must have been silent to be taken for stopped."""


@dataclass(slots=True)
class _Position:
    """The last stamp of the writer on one partition."""

    run: str = ""
    watermark_us: int = 0
    next_sequence: int = 0
    total: int = 0
    sent_at_us: int | None = None
    """When it was sent, if by this process."""
    found_at_us: int = 0
    """When it was sent, if it was found in the log."""


class StampedWriter:
    """The one writer of this name on a topic; belongs to one thread.

    It must be declared for the run that it writes in (`log.writers`), or its records are refused by the join.

    Args:
        topic: physical name.
        writer: stable name, the same after a restart; no two processes may use it at once.
        run_id: asked for each message, for the header `run`.
        clock: epoch microseconds UTC; a message's watermark is the clock when it is sent, but never falls.
        promise: asked for each message, whose watermark is no more than that; by default the clock. For a
            writer that depends on what it reads.
        from_us: instant from which it was declared; its watermarks are no less.
        source: CloudEvents source.
        linger_ms: how long the producer may wait to fill a batch.

    Raises:
        InvalidInput: there is no such topic, or the writer has left the run.
    """

    def __init__(
        self,
        broker: Broker,
        topic: str,
        *,
        writer: str,
        run_id: Callable[[], str],
        clock: Callable[[], int],
        source: str,
        promise: Callable[[], int] | None = None,
        from_us: int = 0,
        linger_ms: int = 5,
    ) -> None:
        self._topic = topic
        self._writer = writer
        self._run_id = run_id
        self._clock = clock
        self._promise = promise or clock
        self._from_us = from_us
        self._source = source
        self._positions = _last_positions(broker, topic, writer)
        if any(_has_left(position, run_id()) for position in self._positions):
            msg = f"{writer} has left run {run_id()!r} on {topic} for good; give the new one another name"
            raise InvalidInput(msg)
        for position in self._positions:
            # It left a run before this one.
            position.watermark_us = 0 if position.watermark_us == FOREVER_US else position.watermark_us
        self._producer = broker.producer(linger_ms=linger_ms)

    @property
    def partitions(self) -> int:
        """How many partitions the topic has."""
        return len(self._positions)

    @property
    def found_at_us(self) -> int:
        """When an earlier process wrote to this run for the last time, in microseconds UTC; 0 for never."""
        run_id = self._run_id()
        return max((each.found_at_us for each in self._positions if each.run == run_id), default=0)

    def send(
        self,
        key: bytes,
        value: bytes,
        records: int,
        *,
        partition: int | None = None,
        on_delivery: Callable[[Message], None] | None = None,
    ) -> None:
        """Stamps and queues one message that holds `records` records.

        Raises:
            SchemaError: the value is not framed as a record of the contract.
            Retryable: the queue is full; nothing was counted, so send it again.
            Fatal: an earlier message could not be delivered.
        """
        index = self._producer.partition_for(self._topic, key) if partition is None else partition
        self._put(index, key, value, records, on_delivery)

    def heartbeat(self) -> None:
        """Sends the stamp alone to every partition."""
        for index in range(self.partitions):
            self._put(index, HEARTBEAT_KEY, None, 0, None)

    def tick(self) -> None:
        """Sends a heartbeat to each partition that has been silent for half a second; call it often."""
        now_us = self._clock()
        for index, position in enumerate(self._positions):
            if _is_due(position, now_us):
                self._put(index, HEARTBEAT_KEY, None, 0, None)

    def leave(self) -> None:
        """Ends this writer's part in its run, durably: windows wait for it no longer, and it can't come back.

        Raises:
            Retryable: the broker is away for now.
            Fatal: a message could not be delivered.
        """
        for index in range(self.partitions):
            self._put(index, HEARTBEAT_KEY, None, 0, None, is_last=True)
        self.flush()

    def flush(self, timeout_s: float = _CLOSE_TIMEOUT_S) -> None:
        """Waits until all that was sent is durable; raises as `Producer.flush`."""
        self._producer.flush(timeout_s)

    def close(self) -> None:
        """Flushes, then closes the producer."""
        try:
            self.flush()
        finally:
            self._producer.close()

    def _put(
        self,
        index: int,
        key: bytes,
        value: bytes | None,
        records: int,
        on_delivery: Callable[[Message], None] | None,
        *,
        is_last: bool = False,
    ) -> None:
        position = self._positions[index]
        now_us = self._clock()
        promise_us = FOREVER_US if is_last else min(now_us, self._promise())
        stamp = Stamp(
            run=self._run_id(),
            watermark_us=max(position.watermark_us, self._from_us, promise_us),
            writer=self._writer,
            sequence=position.next_sequence,
            total=position.total + records,
        )
        self._producer.send(
            self._topic,
            key=key,
            value=value,
            headers=self._headers(index, stamp, now_us, value),
            partition=index,
            on_delivery=on_delivery,
        )
        position.run = stamp.run
        position.watermark_us = stamp.watermark_us
        position.next_sequence = stamp.sequence + 1
        position.total = stamp.total
        position.sent_at_us = now_us

    def _headers(self, index: int, stamp: Stamp, now_us: int, value: bytes | None) -> Headers:
        if value is None:
            return stamp.headers()
        event_id = f"{self._writer}/{index}/{stamp.sequence}"
        return (
            *cloud_event(
                event_type=event_type(value), source=self._source, event_id=event_id, time_us=now_us
            ),
            *stamp.headers(),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def write_final_stamp(
    broker: Broker,
    topic: str,
    *,
    writer: str,
    run_id: str,
    clock: Callable[[], int],
    quiet_us: int = QUIET_US,
) -> None:
    """Ends a writer's part in a run, in its name: a stamp without a record on every partition.

    Where it ended before, nothing is written.

    Args:
        broker: where the topic lies.
        topic: physical name.
        writer: its stable name.
        run_id: the run that it leaves.
        clock: epoch microseconds UTC.
        quiet_us: how long ago its last message must be.

    Raises:
        InvalidInput: there is no such topic, or the writer still writes.
        Retryable: the broker is away for now.
    """
    positions = _last_positions(broker, topic, writer)
    last_us = max((each.found_at_us for each in positions if not _has_left(each, run_id)), default=0)
    silent_us = clock() - last_us
    if silent_us < quiet_us:
        msg = (
            f"{writer} still writes to {topic}, its last message is {silent_us / 1e6:.1f} s old; stop it, "
            f"and try again {quiet_us / 1e6:g} s later"
        )
        raise InvalidInput(msg)
    with broker.producer(linger_ms=0) as producer:
        for index, position in enumerate(positions):
            if not _has_left(position, run_id):
                stamp = Stamp(
                    run=run_id,
                    watermark_us=FOREVER_US,
                    writer=writer,
                    sequence=position.next_sequence,
                    total=position.total,
                )
                producer.send(topic, key=HEARTBEAT_KEY, value=None, headers=stamp.headers(), partition=index)
        producer.flush(_CLOSE_TIMEOUT_S)


def _has_left(position: _Position, run_id: str) -> bool:
    return position.run == run_id and position.watermark_us == FOREVER_US


def _position(stamp: Stamp, found_at_us: int) -> _Position:
    return _Position(
        run=stamp.run,
        watermark_us=stamp.watermark_us,
        next_sequence=stamp.sequence + 1,
        total=stamp.total,
        found_at_us=found_at_us,
    )


def _is_due(position: _Position, now_us: int) -> bool:
    # A clock that was set back must not silence the writer, so an earlier now is due too.
    sent_at_us = position.sent_at_us
    return sent_at_us is None or not sent_at_us <= now_us < sent_at_us + HEARTBEAT_US


def _last_positions(broker: Broker, topic: str, writer: str) -> list[_Position]:
    """The writer's last stamp on each partition, looking back ever further until it is found.

    All partitions are read at once: each new assignment costs a fetch that was under way, over a second.
    """
    found: dict[Partition, _Position] = {}
    with broker.consumer(group_id=None) as consumer:
        ranges = {partition: consumer.offset_range(partition) for partition in consumer.partitions(topic)}
        ends = {partition: end for partition, (first, end) in ranges.items() if end > first}
        look_back = _FIRST_LOOK_BACK
        while ends:
            begins = {each: max(ranges[each][0], end - look_back) for each, end in ends.items()}
            for message in _read(consumer, begins, ends):
                if stamp := _own(message, writer):
                    last = _position(stamp, message.timestamp_us)
                    found[Partition(message.topic, message.partition)] = last
            ends = {each: at for each, at in begins.items() if each not in found and at > ranges[each][0]}
            look_back *= 4
    return [found.get(partition, _Position()) for partition in ranges]


def _read(
    consumer: Consumer, begins: Mapping[Partition, int], ends: Mapping[Partition, int]
) -> list[Message]:
    """Every message from `begins` up to `ends`, in offset order within each partition."""
    consumer.assign(begins)
    found: list[Message] = []
    missing = sum(ends.values()) - sum(begins.values())
    while missing:
        batch = consumer.consume(missing, _READ_TIMEOUT_S)
        if not batch:
            wanted = ", ".join(f"{topic}[{index}]" for topic, index in begins)
            msg = f"{missing} messages of {wanted} did not arrive in {_READ_TIMEOUT_S:g} s; try again"
            raise Retryable(msg)
        # Other writers of the topic go on meanwhile; what is after the end was not asked for.
        wanted_now = [each for each in batch if each.offset < ends[Partition(each.topic, each.partition)]]
        found += wanted_now
        missing -= len(wanted_now)
    return found


def _own(message: Message, writer: str) -> Stamp | None:
    try:
        stamp = Stamp.read(message.headers)
    except ValueError:
        return None  # someone else's message without a stamp: the readers count it, here it says nothing
    return stamp if stamp.writer == writer else None
