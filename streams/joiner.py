"""Joining one partition number: messages in, windows out, and when a message may be forgotten. No engine."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Protocol

from microservo.domain.join import Taken, take
from microservo.domain.windows import ClosedWindow, Windower, WindowPolicy
from microservo.errors import OffsetGap
from schemas.records import ServiceFault


class Acknowledgeable(Protocol):
    """An event of the engine that is read again after a restart until it is acknowledged."""

    def ack(self) -> bool: ...


class Joiner:
    """The open windows of one partition number, and the messages that they still need.

    Args:
        partition: number of the partition.
        policy: how windows are cut.
        resume_from_us: the last checkpoint; -1 for none.
    """

    def __init__(self, partition: int, policy: WindowPolicy, *, resume_from_us: int) -> None:
        self.partition = partition
        self.windower = Windower(policy, resume_from_us=resume_from_us)
        self.durable_us = resume_from_us
        """Watermark up to which all windows are known to be on the broker."""
        self.checkpoint_us = resume_from_us
        """The last checkpoint that was written."""
        self._policy = policy
        self._next_offset: dict[str, int] = {}
        self._held: dict[str, deque[tuple[int | ServiceFault, Acknowledgeable]]] = {}

    def take(
        self,
        source: str,
        offset: int,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]],
        event: Acknowledgeable,
    ) -> None:
        """Takes in one message; `windows` then gives what it closed.

        Raises:
            OffsetGap: messages before this one are missing.
            InvalidMessage: it can't be read; it is held like any other, so that offsets stay in order.
        """
        expected = self._next_offset.get(source)
        if expected is not None and offset > expected:
            raise OffsetGap(source, self.partition, expected, offset)
        self._next_offset[source] = offset + 1
        taken = Taken()
        try:
            taken = take(self.windower, source, value, headers)
        finally:
            needed = taken.record if isinstance(taken.record, ServiceFault) else taken.newest_end_us
            self._held.setdefault(source, deque()).append((needed, event))

    def windows(self) -> Iterator[ClosedWindow]:
        """Revisions of windows that are due."""
        return self.windower.close()

    def release(self, checkpoint_us: int) -> None:
        """Acknowledges, in offset order, the messages that no window after the checkpoint can need."""
        final_us = checkpoint_us - self._policy.final_cut_us
        for held in self._held.values():
            while held and self._needed_until_us(held[0][0]) <= final_us:
                held.popleft()[1].ack()
        self.windower.forget()

    def abandon(self) -> None:
        """Forgets the held events: after a rebalance the engine delivers them anew."""
        self._held.clear()

    def _needed_until_us(self, needed: int | ServiceFault) -> int:
        if isinstance(needed, ServiceFault):
            return self.windower.ends_us(needed) + self._policy.size_us
        return needed
