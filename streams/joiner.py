"""Joining one partition number: messages in, windows out, and when a message may be forgotten. No engine."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from microservo.domain.closed_window import ClosedWindow
from microservo.domain.join import Processed, process_stamped
from microservo.domain.joined_topics import SOURCES, TOLD_LATER
from microservo.domain.watermarks import UNKNOWN
from microservo.domain.window_policy import WindowPolicy
from microservo.domain.windows import NOTHING_US, Windower
from microservo.errors import Fatal, InvalidMessage, OffsetGap
from schemas.envelope import FOREVER_US, Stamp
from schemas.records import Experiment, FaultEffect, ServiceAction, ServiceFault


class Acknowledgeable(Protocol):
    """An event of the engine that is read again after a restart until it is acknowledged."""

    def ack(self) -> bool: ...


class _OfFault(NamedTuple):
    """A message about a fault at a service: needed as long as the fault is, and until its stamp is passed."""

    service: str
    fault_id: str
    read_us: int
    """Once windows are final up to here, what was told before it has been read too."""


class _OfAction(NamedTuple):
    """A message about an act of placement on a service: needed as long as windows may carry it, likewise."""

    service: str
    decision_id: str
    read_us: int


@dataclass(slots=True)
class _Held:
    """A message that windows of a run may still need: until when (or for what), and its event."""

    run_id: str | None
    needed: int | _OfFault | _OfAction
    event: Acknowledgeable | None


class _Queue:
    """The messages of one source that were taken, in offset order, until each may be forgotten."""

    def __init__(self, offset: int) -> None:
        self._began_at = offset
        self.next_offset = offset
        self.held: deque[_Held] = deque()

    def hold(self, run_id: str | None, needed: int | _OfFault | _OfAction, event: Acknowledgeable) -> None:
        """Adds the next message."""
        self.held.append(_Held(run_id, needed, event))
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
        checkpoint: by the id of a run: windows that end by then were final before; UNKNOWN for none.
    """

    def __init__(self, partition: int, policy: WindowPolicy, *, checkpoint: Callable[[str], int]) -> None:
        self.partition = partition
        self.windower = Windower(policy)
        self.durable_us: dict[str, int] = {}
        """By run: windows that end by then are known to be on the broker, all of them."""
        self.checkpoints_us: dict[str, int] = {}
        """By run: the last checkpoint that was written, or read at the start."""
        self._size_us = policy.size_us
        self._checkpoint = checkpoint
        self._over: dict[str, dict[str, int]] = {}
        """By run that is over: where each source ends."""
        self._closed: set[str] = set()
        self._queues: dict[str, _Queue] = {}

    def has_begun(self, source: str) -> bool:
        """Whether it knows where a source begins, or has processed a message of it."""
        return source in self._queues

    def begin(self, source: str, offset: int) -> None:
        """Sets that the next message of a source must have this offset, or some may be missing before it."""
        self._queues[source] = _Queue(offset)

    def knows(self, source: str, stamp: Stamp) -> bool:
        """Whether the writer of a message is known to be one of its run, or the run is closed."""
        return stamp.run in self._closed or self.windower.knows(stamp.run, source, stamp.writer)

    @property
    def open_runs(self) -> list[str]:
        """Runs whose windows are not all final."""
        return list(self.windower.open_runs)

    def update_run(self, run_id: str, run: Experiment | None) -> None:
        """Updates what is known of a run; None where it has no record."""
        if run_id in self._closed:
            return
        if run_id not in self.checkpoints_us:
            self.checkpoints_us[run_id] = self._checkpoint(run_id)
        if self.checkpoints_us[run_id] == FOREVER_US:
            self._closed.add(run_id)
            return
        self.windower.open_run(run_id, run.writers if run else (), final_us=self.checkpoints_us[run_id])
        if run is not None and run.status != "running":
            self.windower.seal_run(run_id)
            if ends := self._ends(run):
                self._over[run_id] = ends

    def process_message(
        self,
        source: str,
        offset: int,
        value: bytes | None,
        stamp: Stamp | InvalidMessage,
        event: Acknowledgeable,
    ) -> None:
        """Processes one message; `windows` then returns what it closed.

        After a rebalance the engine delivers what was not acknowledged once more; that is only held again. A
        message of a run that is closed here came after its end, and is passed over.

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
        run_id = stamp.run if isinstance(stamp, Stamp) else None
        processed = Processed()
        try:
            if run_id not in self._closed:
                processed = process_stamped(self.windower, source, value, stamp)
        finally:
            queue.hold(run_id, _needed(processed), event)

    def windows(self, limit_us: int = FOREVER_US) -> Iterator[ClosedWindow]:
        """Revisions of windows that are due; then closes the runs that are over and read to their end.

        Args:
            limit_us: what writers that may be declared without being known here will promise at the least.
        """
        yield from self.windower.close(limit_us)
        if self._over:
            self._close_read_runs()

    def final_us(self) -> dict[str, int]:
        """By run: windows that end by then were given out for good; FOREVER_US where the run is closed."""
        final = {run_id: self.windower.final_us(run_id) for run_id in self.windower.open_runs}
        return final | dict.fromkeys(self._closed, FOREVER_US)

    def release(self, checkpoints_us: Mapping[str, int]) -> None:
        """Acknowledges, in offset order, the messages that no window after the checkpoints can need."""
        for queue in self._queues.values():
            while queue.held and self._is_done(queue.held[0], checkpoints_us):
                queue.let_go()
        self.windower.forget()

    def abandon(self) -> None:
        """Drops the held events: after a rebalance the engine delivers them anew."""
        for queue in self._queues.values():
            queue.abandon()

    def _ends(self, run: Experiment) -> dict[str, int]:
        """Where each source of a run ends; {} for a run whose record does not name all ends.

        A run that ended before there was a topic of what is told later has no end of it, and nothing there.
        """
        named = {source: run.end_offsets.get(f"{source}/{self.partition}") for source in SOURCES}
        ends = {source: end for source, end in named.items() if end is not None}
        return ends if all(source in ends for source in SOURCES if source not in TOLD_LATER) else {}

    def _close_read_runs(self) -> None:
        for run_id in [each for each, ends in self._over.items() if self._is_read(ends)]:
            del self._over[run_id]
            self.windower.close_run(run_id)
            self._closed.add(run_id)

    def _is_read(self, ends: Mapping[str, int]) -> bool:
        """Whether all that a run wrote was taken."""
        return all(
            source in self._queues and self._queues[source].next_offset >= end for source, end in ends.items()
        )

    def _is_done(self, held: _Held, checkpoints_us: Mapping[str, int]) -> bool:
        if held.needed == NOTHING_US:
            return True
        final_us = checkpoints_us.get(held.run_id or "", UNKNOWN)
        if isinstance(held.needed, int):
            return held.needed <= final_us
        return max(self._ends_us(held.run_id or "", held.needed), held.needed.read_us) <= final_us

    def _ends_us(self, run_id: str, needed: _OfFault | _OfAction) -> int:
        """The end of the last window that may need what was told."""
        if isinstance(needed, _OfAction):
            ends_us = self.windower.action_ends_us(run_id, needed.service, needed.decision_id)
        else:
            ends_us = self.windower.ends_us(run_id, needed.service, needed.fault_id)
        return ends_us + self._size_us


def _needed(processed: Processed) -> int | _OfFault | _OfAction:
    record = processed.record
    # A tuple: a union would be made anew for each message. One question, since most are telemetry.
    if isinstance(record, (ServiceFault, FaultEffect, ServiceAction)):
        read_us = processed.late.final_us
        if isinstance(record, ServiceAction):
            return _OfAction(record.service, record.decision_id, read_us)
        return _OfFault(record.service, record.fault_id, read_us)
    return processed.newest_end_us
