"""What is kept of a run until its windows are final."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from microservo.domain.action_versions import NO_ACTIONS, ActionVersions
from microservo.domain.blocks import Block, keep
from microservo.domain.fault_versions import FaultVersions
from microservo.domain.features import Features
from microservo.domain.identity import Kind
from microservo.domain.labels import Span
from microservo.domain.rendered import NOTHING_CAME, Rendered
from microservo.domain.telemetry import SIGNALS, Signal
from microservo.domain.truth import NO_FAULTS, WindowTruth
from microservo.domain.watermarks import Cut, Passed, Watermarks
from schemas.records import ServiceInventory, WindowAction


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
        service_kind: what those say of themselves who sent what is in it.
        rendered: what came for revision 0.
        is_published: whether there was a revision.
        is_kept: whether nothing can reach it any more, and only its labels or actions are not settled.
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
    rendered: Rendered = NOTHING_CAME
    service_kind: Kind = "service"
    features: Features = field(default_factory=dict)
    truth: WindowTruth = NO_FAULTS
    actions: tuple[WindowAction, ...] = NO_ACTIONS
    is_published: bool = False
    is_kept: bool = False

    @property
    def delay_us(self) -> int:
        """How much longer than others it waits for its telemetry."""
        return 0 if self.due_us is None else self.due_us - self.end_us

    @property
    def span(self) -> Span:
        """From its start to its end."""
        return Span(self.start_us, self.end_us)

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

    def cut(self, revision: int) -> Cut:
        """When one of the first two revisions is made."""
        assert self.due_us is not None
        return Cut(self.due_us, revision)

    def inventories_at(self, cut: Cut) -> list[ServiceInventory]:
        """The inventories that a cut knows."""
        return [each for late, each in self.inventories if cut.is_in_time(late)]

    def late_signals(self) -> list[Signal]:
        """The signals of which records came late."""
        return [signal for signal in SIGNALS if self.late[signal]]

    def late_in_all(self) -> dict[Signal, list[Block]]:
        """All that came, of those signals alone of which records came late."""
        found = _blocks()
        for signal in self.late_signals():
            found[signal] = self.on_time[signal] + self.late[signal]
        return found

    def drop_rows(self) -> None:
        """Frees what came, and was counted: after revision 1 only labels may change."""
        self.on_time, self.late, self.received = _blocks(), _blocks(), _zeros()
        self.inventories, self.rendered = [], NOTHING_CAME


class OpenRun:
    """The windows of a run that are not final, and what its writers promised.

    Args:
        run_id: the run.
        watermarks: the promises of its writers.
        resume_us: windows that end by then were final before a restart.
        between_cuts_us: how long after revision 1, and after each one that follows, the next is due.
    """

    def __init__(self, run_id: str, watermarks: Watermarks, resume_us: int, between_cuts_us: int) -> None:
        self.run_id = run_id
        self.watermarks = watermarks
        self.faults = FaultVersions()
        self.actions = ActionVersions()
        self.resume_us = resume_us
        self.is_sealed = False
        """Whether nobody joins it any more."""
        self._between_cuts_us = between_cuts_us
        self._windows: dict[tuple[int, str], OpenWindow] = {}
        # Each waits in turn for its end to be passed, for revision 0, and for revision 1 and those after it.
        self._unsettled: list[tuple[int, str]] = []
        self._first: list[tuple[int, int, str]] = []
        self._later: list[tuple[Cut, int, str]] = []
        self._ends: list[tuple[int, str]] = []
        """Ends of the windows that are not final, and of some that are."""

    @property
    def final_us(self) -> int:
        """Windows that end by then are final."""
        while self._ends and self._ends[0] not in self._windows:
            heapq.heappop(self._ends)
        final_us = self.watermarks.passed.final_us
        # Some wait longer than others, or are kept.
        return max(self.resume_us, min(final_us, self._ends[0][0] - 1) if self._ends else final_us)

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
            heapq.heappush(self._ends, key)
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
            heapq.heappush(self._first, (window.cut(0).due_us, *key))
            heapq.heappush(self._later, (window.cut(1), *key))

    def past_first_cut(self) -> Iterator[list[OpenWindow]]:
        """Windows whose revision 0 is due, those that end together at a time."""
        first_us = self.watermarks.passed.first_us
        due = []
        while self._first and self._first[0][0] <= first_us:
            due.append(heapq.heappop(self._first)[1:])
        # In order of their ends, also where those that end later have waited less.
        for _, together in groupby(sorted(due), key=lambda key: key[0]):
            yield [self._windows[key] for key in together]

    def past_final_cut(self) -> Iterator[tuple[Cut, list[OpenWindow]]]:
        """Windows that a revision after 0 is due of, those of one cut that end together at a time.

        Each is final then, or to be kept for the next.
        """
        final_us = self.watermarks.passed.final_us
        while self._later and self._later[0][0].due_us <= final_us:
            cut, end_us, _ = self._later[0]
            together = []
            while self._later and self._later[0][:2] == (cut, end_us):
                together.append(self._windows[end_us, heapq.heappop(self._later)[2]])
            yield cut, together

    def keep(self, window: OpenWindow, cut: Cut) -> None:
        """Keeps a window for the cut after this one."""
        window.is_kept = True
        following = Cut(cut.due_us + self._between_cuts_us, cut.revision + 1)
        heapq.heappush(self._later, (following, window.end_us, window.service))

    def finish(self, window: OpenWindow) -> None:
        """Drops a window that is final."""
        del self._windows[window.end_us, window.service]

    def end(self) -> None:
        """Drops the windows that are kept: nothing more will come."""
        for window in [each for each in self._windows.values() if each.is_kept]:
            self.finish(window)
