"""Reading exact ranges of offsets, whole and in large batches."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

from microservo.adapters.broker import Consumer, Message, Partition
from microservo.errors import OffsetGap, Retryable

Ranges = Mapping[Partition, tuple[int, int]]
"""Offsets [first, end) by partition."""

BATCH = 1000
_ROUND_S = 0.1
_PATIENCE_S = 60.0
_AHEAD_US = 60_000_000
_AHEAD_AGAIN_US = 30_000_000


class RangeReader:
    """Iterates over the batches of messages in the ranges; partitions come interleaved, each in offset order.

    Args:
        consumer: without a group; assigned here.
        ranges: what to read.
        batch: the most messages at a time.
        compacted: whether offsets may be missing.
        from_us: event time at which every partition is taken to stand until `stands_at` says more.
    """

    def __init__(
        self,
        consumer: Consumer,
        ranges: Ranges,
        *,
        batch: int = BATCH,
        compacted: bool = False,
        from_us: int = 0,
    ) -> None:
        self._consumer = consumer
        self._batch = batch
        self._compacted = compacted
        self._next = {partition: first for partition, (first, end) in ranges.items() if first < end}
        self._ends = {partition: end for partition, (_, end) in ranges.items()}
        self._left = sum(end - first for first, end in ranges.values())
        self._clocks = dict.fromkeys(self._next, from_us)
        self._paused: set[Partition] = set()

    def __iter__(self) -> Iterator[list[Message]]:
        """The batches, in the order they arrive.

        Raises:
            OffsetGap: messages are missing within a range.
            Retryable: nothing came for a minute though more must be there.
        """
        if not self._next:
            return
        self._consumer.assign(self._next)
        silence_s = 0.0
        while self._clocks:
            # Asking for no more than is left keeps the last round from waiting for company.
            found = self._consumer.consume(min(self._batch, self._left), _ROUND_S)
            silence_s = 0.0 if found else silence_s + _ROUND_S
            if silence_s >= _PATIENCE_S:
                raise Retryable(self._silence())
            if batch := self._taken(found):
                yield batch
            self._pace()

    def stands_at(self, partition: Partition, time_us: int) -> None:
        """Says how far a partition has come in event time, so that none runs far ahead of the others."""
        if partition in self._clocks:
            self._clocks[partition] = time_us

    def _taken(self, found: list[Message]) -> list[Message]:
        """The messages that belong to the ranges, after checking that none is missing before them."""
        batch = []
        for message in found:
            partition = Partition(message.topic, message.partition)
            offset, expected = message.offset, self._next[partition]
            if partition not in self._clocks or offset < expected:
                continue
            if offset > expected and not self._compacted:
                raise OffsetGap(*partition, expected, offset)
            if offset >= self._ends[partition]:
                self._finish(partition)
                continue
            batch.append(message)
            self._left -= offset + 1 - expected
            self._next[partition] = offset + 1
            if offset + 1 == self._ends[partition]:
                self._finish(partition)
        return batch

    def _finish(self, partition: Partition) -> None:
        if self._clocks.pop(partition, None) is not None:
            self._left -= self._ends[partition] - self._next[partition]
            self._consumer.pause([partition])
            self._paused.discard(partition)

    def _pace(self) -> None:
        """Pauses what is far ahead of the slowest, so that what must be held stays bounded."""
        if not self._clocks:
            return
        slowest = min(self._clocks.values())
        ahead = {partition for partition, at_us in self._clocks.items() if at_us > slowest + _AHEAD_US}
        near = {
            partition for partition in self._paused if self._clocks[partition] <= slowest + _AHEAD_AGAIN_US
        }
        if new := sorted(ahead - self._paused):
            self._consumer.pause(new)
        if near:
            self._consumer.resume(sorted(near))
        self._paused = (self._paused | ahead) - near

    def _silence(self) -> str:
        waiting = sorted(set(self._clocks) - self._paused)
        where = ", ".join(
            f"{each.topic}[{each.index}] at {self._next[each]} of {self._ends[each]}" for each in waiting
        )
        return f"nothing arrived for {_PATIENCE_S:g} s while waiting for {where}; try again"


def read(
    consumer: Consumer, ranges: Ranges, *, batch: int = BATCH, compacted: bool = False
) -> Iterator[Message]:
    """Every message in the ranges; raises as `RangeReader`."""
    return itertools.chain.from_iterable(RangeReader(consumer, ranges, batch=batch, compacted=compacted))
