"""What is kept of a run until its windows are final."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from microservo.domain.blocks import Block, keep
from microservo.domain.features import Features
from microservo.domain.labels import FaultVersions
from microservo.domain.telemetry import SIGNALS, Signal
from microservo.domain.watermarks import Passed, Watermarks
from schemas.records import Label, ServiceInventory


def _blocks() -> dict[Signal, list[Block]]:
    return {signal: [] for signal in SIGNALS}


def _zeros() -> dict[Signal, int]:
    return dict.fromkeys(SIGNALS, 0)


class Rows(NamedTuple):
    """Rows of one message that fall into one window, and the windows that they came late for."""

    late: Passed
    signal: Signal
    size: int
    block: Block


@dataclass(slots=True)
class OpenWindow:
    """What came for a window so far, and what was published of it.

    Attributes:
        due_us: its end, and how much later than that the telemetry of its service usually comes; None until
            its inventories are all there, which say so.
        undecided: rows that are late unless their service is one of those.
        inventories: what was known of the service within the window, each with the windows that it came late
            for.
        received: how many rows came that are not too late, repeated ones included.
        distinct_on_time: how many rows revision 0 has.
        is_published: whether there was a revision 0.
    """

    service: str
    start_us: int
    end_us: int
    due_us: int | None = None
    on_time: dict[Signal, list[Block]] = field(default_factory=_blocks)
    late: dict[Signal, list[Block]] = field(default_factory=_blocks)
    undecided: list[Rows] = field(default_factory=list)
    inventories: list[tuple[Passed, ServiceInventory]] = field(default_factory=list)
    received: dict[Signal, int] = field(default_factory=_zeros)
    distinct_on_time: dict[Signal, int] = field(default_factory=_zeros)
    features: Features = field(default_factory=dict)
    labels: tuple[Label, ...] = ()
    is_published: bool = False

    @property
    def delay_us(self) -> int:
        """How much longer than others it waits for its telemetry."""
        return 0 if self.due_us is None else self.due_us - self.end_us

    def add(self, rows: Rows) -> bool:
        """Adds rows; False for those that are too late."""
        late, signal, size, block = rows
        if self.end_us > late.first_us:
            keep(self.on_time[signal], block)
        elif self.due_us is None:
            self.undecided.append(rows)
        elif self.due_us > late.final_us:
            keep((self.late if self.due_us <= late.first_us else self.on_time)[signal], block)
        else:
            return False
        self.received[signal] += size
        return True

    def add_inventory(self, inventory: ServiceInventory, late: Passed) -> None:
        """Adds what was known of the service."""
        self.inventories.append((late, inventory))

    def settle(self) -> dict[Signal, int]:
        """Sets when it is due, now that all inventories that say so are there.

        Returns:
            How many records are too late for it, as it turns out.
        """
        delays_us = [each.delay_us for late, each in self.inventories if late.first_us < self.end_us]
        self.due_us = self.end_us + max(delays_us, default=0)
        dropped = _zeros()
        undecided, self.undecided = self.undecided, []
        for rows in undecided:
            self.received[rows.signal] -= rows.size
            if not self.add(rows):
                dropped[rows.signal] += rows.size
        return dropped

    def inventories_at(self, revision: int) -> list[ServiceInventory]:
        """The inventories that a revision knows."""
        assert self.due_us is not None
        return [each for late, each in self.inventories if late[revision] < self.due_us]


class OpenRun:
    """The windows of a run that are not final, and what its writers promised.

    Args:
        run_id: the run.
        watermarks: the promises of its writers.
        resume_us: windows that end by then were final before a restart.
    """

    def __init__(self, run_id: str, watermarks: Watermarks, resume_us: int) -> None:
        self.run_id = run_id
        self.watermarks = watermarks
        self.faults = FaultVersions()
        self.resume_us = resume_us
        self.is_sealed = False
        """Whether nobody joins it any more."""
        self._windows: dict[tuple[int, str], OpenWindow] = {}
        # Each waits in turn for its end to be passed, for revision 0, and for revision 1: by instant, end and
        # service.
        self._unsettled: list[tuple[int, str]] = []
        self._first: list[tuple[int, int, str]] = []
        self._final: list[tuple[int, int, str]] = []
        self._delayed: set[tuple[int, str]] = set()

    @property
    def final_us(self) -> int:
        """Windows that end by then are final."""
        final_us = max(self.resume_us, self.watermarks.passed.final_us)
        if not self._delayed:
            return final_us
        return min(final_us, min(end_us for end_us, _ in self._delayed) - 1)

    @property
    def windows(self) -> Iterable[OpenWindow]:
        """Those that are not final, in no order."""
        return self._windows.values()

    def window(self, end_us: int, service: str, start_us: int) -> OpenWindow:
        """The window of a service that ends at an instant; opened where it isn't there."""
        key = (end_us, service)
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = OpenWindow(service, start_us, end_us)
            heapq.heappush(self._unsettled, key)
        return window

    def is_over(self, end_us: int, service: str, late: Passed) -> bool:
        """Whether what came that late is too late for a window that isn't there.

        Until its end is passed, an inventory may still say that it waits for longer.
        """
        closed_us = min(late.final_us, self.watermarks.passed.first_us)
        return end_us <= closed_us and (end_us, service) not in self._windows

    def past_end(self) -> Iterator[tuple[OpenWindow, dict[Signal, int]]]:
        """Settles the windows of which all inventories are there, each with what came too late for it."""
        first_us = self.watermarks.passed.first_us
        while self._unsettled and self._unsettled[0][0] <= first_us:
            key = heapq.heappop(self._unsettled)
            window = self._windows[key]
            yield window, window.settle()
            due = (key[0] + window.delay_us, *key)
            heapq.heappush(self._first, due)
            heapq.heappush(self._final, due)
            if window.delay_us:
                self._delayed.add(key)

    def past_first_cut(self) -> Iterator[list[OpenWindow]]:
        """Removes the windows whose revision 0 is due, those that end together at a time."""
        first_us = self.watermarks.passed.first_us
        due = []
        while self._first and self._first[0][0] <= first_us:
            due.append(heapq.heappop(self._first)[1:])
        # In order of their ends, also where those that end later have waited less.
        for _, together in groupby(sorted(due), key=lambda key: key[0]):
            yield [self._windows[key] for key in together]

    def past_final_cut(self) -> Iterator[OpenWindow]:
        """Removes the windows that nothing can reach any more."""
        final_us = self.watermarks.passed.final_us
        while self._final and self._final[0][0] <= final_us:
            key = heapq.heappop(self._final)[1:]
            self._delayed.discard(key)
            yield self._windows.pop(key)
