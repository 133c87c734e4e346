"""Reading exact ranges of offsets, whole and in large batches."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

from microservo.adapters.broker import Consumer, Message, Partition
from microservo.errors import OffsetGap, Retryable
from microservo.log.backlog import Backlog

Ranges = Mapping[Partition, tuple[int, int]]
"""Offsets [first, end) by partition."""

BATCH = 1000
_ROUND_S = 0.1
TIMEOUT_S = 60.0
_AHEAD_US = 60_000_000
_HELD_BYTES = 64 * 2**20


class RangeReader:
    """Iterates over the batches of messages in the ranges; partitions come interleaved, each in offset order.

    A broker hands out one partition in large pieces, which may be hours of event time. So what is far ahead
    of the slowest partition is held back here, and only when that gets too much the partition is paused: a
    client throws away what it has of a paused one, and fetches it again.

    Args:
        consumer: without a group; assigned here.
        ranges: what to read.
        batch: the most messages at a time.
        compacted: whether offsets may be missing.
        from_us: event time at which every partition is taken to stand until `report_progress` says more.
        held_bytes: more than about this many are not held back.
        timeout_s: how long to wait for a message that must be there.
    """

    def __init__(
        self,
        consumer: Consumer,
        ranges: Ranges,
        *,
        batch: int = BATCH,
        compacted: bool = False,
        from_us: int = 0,
        held_bytes: int = _HELD_BYTES,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._consumer = consumer
        self._batch = batch
        self._compacted = compacted
        self._next = {partition: first for partition, (first, end) in ranges.items() if first < end}
        self._ends = {partition: end for partition, (_, end) in ranges.items()}
        self._left = sum(end - first for first, end in ranges.values())
        self._clocks = dict.fromkeys(self._next, from_us)
        self._backlog = Backlog(self._next)
        self._held_bytes = held_bytes
        self._timeout_s = timeout_s
        self._paused: set[Partition] = set()

    def __iter__(self) -> Iterator[list[Message]]:
        """The batches, in the order they arrive.

        Raises:
            OffsetGap: messages are missing within a range.
            Retryable: nothing came for `timeout_s` seconds though more must be there.
        """
        if not self._next:
            return
        self._consumer.assign(self._next)
        silence_s = 0.0
        while self._clocks:
            near = self._near()
            round_s = 0.0 if self._backlog.has(near) else _ROUND_S
            found = self._fetched(round_s)
            silence_s = 0.0 if found or not round_s else silence_s + round_s
            if silence_s >= self._timeout_s:
                raise Retryable(self._silence())
            self._keep(found)
            if batch := self._backlog.pop(near, self._batch):
                yield batch
            self._drop_finished()
            self._pace()

    def report_progress(self, partition: Partition, time_us: int) -> None:
        """Says how far a partition has come in event time, so that none runs far ahead of the others."""
        if partition in self._clocks:
            self._clocks[partition] = time_us

    def _near(self) -> list[Partition]:
        """The partitions that are not far ahead of the slowest."""
        limit_us = min(self._clocks.values()) + _AHEAD_US
        return [partition for partition, at_us in self._clocks.items() if at_us <= limit_us]

    def _fetched(self, round_s: float) -> list[Message]:
        # Asking for no more than is left keeps the last round from waiting for company.
        return self._consumer.consume(min(self._batch, self._left), round_s) if self._left else []

    def _keep(self, found: list[Message]) -> None:
        """Puts the messages that belong to the ranges aside, after checking that none is missing before."""
        for message in found:
            partition = Partition(message.topic, message.partition)
            offset, expected = message.offset, self._next[partition]
            if offset < expected or expected >= self._ends[partition]:
                continue
            if offset > expected and not self._compacted:
                raise OffsetGap(*partition, expected, offset)
            following = min(offset + 1, self._ends[partition])
            if offset < self._ends[partition]:
                self._backlog.add(partition, message)
            self._left -= following - expected
            self._next[partition] = following
            if following == self._ends[partition]:
                self._consumer.pause([partition])
                self._paused.discard(partition)

    def _drop_finished(self) -> None:
        for partition in [each for each in self._clocks if self._next[each] >= self._ends[each]]:
            if not self._backlog.has([partition]):
                del self._clocks[partition]

    def _pace(self) -> None:
        """Pauses what is far ahead while too much is held back, so that it stays bounded."""
        if not self._clocks:
            return
        fetching = {partition for partition in self._clocks if self._next[partition] < self._ends[partition]}
        if self._backlog.size_bytes > self._held_bytes and (new := fetching - {*self._near()} - self._paused):
            self._consumer.pause(sorted(new))
            self._paused |= new
        some = self._backlog.size_bytes > self._held_bytes // 2
        if wanted := {each for each in self._paused if not (some and self._backlog.has([each]))}:
            self._consumer.resume(sorted(wanted))
            self._paused -= wanted

    def _silence(self) -> str:
        waiting = sorted(set(self._clocks) - self._paused)
        where = ", ".join(
            f"{each.topic}[{each.index}] at {self._next[each]} of {self._ends[each]}" for each in waiting
        )
        return f"nothing arrived for {self._timeout_s:g} s while waiting for {where}; try again"


def read_ranges(
    consumer: Consumer,
    ranges: Ranges,
    *,
    batch: int = BATCH,
    compacted: bool = False,
    timeout_s: float = TIMEOUT_S,
) -> Iterator[Message]:
    """Every message in the ranges; arguments and errors are those of `RangeReader`."""
    reader = RangeReader(consumer, ranges, batch=batch, compacted=compacted, timeout_s=timeout_s)
    return itertools.chain.from_iterable(reader)
