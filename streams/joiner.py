"""Joining one partition number: messages in, windows out, and when a message may be forgotten. No engine."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from microservo.domain.join import Taken, take
from microservo.domain.windows import ClosedWindow, Windower, WindowPolicy
from microservo.errors import Fatal, OffsetGap
from schemas.records import ServiceFault


class Acknowledgeable(Protocol):
    """An event of the engine that is read again after a restart until it is acknowledged."""

    def ack(self) -> bool: ...


@dataclass(slots=True)
class _Held:
    """A message that windows may still need: until when (or for which fault), and its event."""

    needed: int | ServiceFault
    event: Acknowledgeable | None


class _Queue:
    """The messages of one source that were taken, in offset order, until each may be forgotten."""

    def __init__(self, offset: int) -> None:
        self._began_at = offset
        self.next_offset = offset
        self.held: deque[_Held] = deque()

    def hold(self, needed: int | ServiceFault, event: Acknowledgeable) -> None:
        """Adds the next message."""
        self.held.append(_Held(needed, event))
        self.next_offset += 1

    def hold_again(self, offset: int, event: Acknowledgeable) -> None:
        """Takes the new event of a message that was taken before; one that nothing needs is done with."""
        if offset < self._began_at:
            # This joiner was made from the middle of the log: only a fresh start can put that right.
            msg = f"offset {offset} was delivered after {self._began_at}; the process stops and reads anew"
            raise Fatal(msg)
        position = offset - (self.next_offset - len(self.held))
        if position < 0:
            event.ack()
        else:
            self.held[position].event = event

    def let_go(self) -> None:
        """Acknowledges the oldest message, unless its event is yet to be delivered anew."""
        event = self.held.popleft().event
        if event is not None:
            event.ack()

    def abandon(self) -> None:
        """Drops the events and keeps what each message is needed for."""
        for held in self.held:
            held.event = None


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
        self._queues: dict[str, _Queue] = {}

    def knows(self, source: str) -> bool:
        """Whether it was told where a source begins, or has taken a message of it."""
        return source in self._queues

    def begin(self, source: str, offset: int) -> None:
        """Says that the next message of a source must have this offset, or some may be missing before it."""
        self._queues[source] = _Queue(offset)

    def take(
        self,
        source: str,
        offset: int,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]],
        event: Acknowledgeable,
    ) -> None:
        """Takes in one message; `windows` then gives what it closed.

        After a rebalance the engine delivers what was not acknowledged once more; that is only held again.

        Raises:
            OffsetGap: messages before this one are missing.
            Fatal: a message from before this joiner began is delivered.
            InvalidMessage: it can't be read; it is held like any other, so that offsets stay in order.
        """
        queue = self._queues.setdefault(source, _Queue(offset))
        if offset > queue.next_offset:
            raise OffsetGap(source, self.partition, queue.next_offset, offset)
        if offset < queue.next_offset:
            return queue.hold_again(offset, event)
        taken = Taken()
        try:
            taken = take(self.windower, source, value, headers)
        finally:
            needed = taken.record if isinstance(taken.record, ServiceFault) else taken.newest_end_us
            queue.hold(needed, event)

    def windows(self) -> Iterator[ClosedWindow]:
        """Revisions of windows that are due."""
        return self.windower.close()

    def release(self, checkpoint_us: int) -> None:
        """Acknowledges, in offset order, the messages that no window after the checkpoint can need."""
        final_us = checkpoint_us - self._policy.final_cut_us
        for queue in self._queues.values():
            while queue.held and self._needed_until_us(queue.held[0].needed) <= final_us:
                queue.let_go()
        self.windower.forget()

    def abandon(self) -> None:
        """Drops the held events: after a rebalance the engine delivers them anew."""
        for queue in self._queues.values():
            queue.abandon()

    def _needed_until_us(self, needed: int | ServiceFault) -> int:
        if isinstance(needed, ServiceFault):
            return self.windower.ends_us(needed) + self._policy.size_us
        return needed
