"""What is kept of a run until its windows are final."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field

from microservo.domain.blocks import Block
from microservo.domain.fault_versions import FaultVersions
from microservo.domain.features import Features
from microservo.domain.telemetry import SIGNALS, Signal
from microservo.domain.truth import NO_FAULTS, WindowTruth
from microservo.domain.watermarks import Cut, Watermarks


def _blocks() -> dict[Signal, list[Block]]:
    return {signal: [] for signal in SIGNALS}


def _zeros() -> dict[Signal, int]:
    return dict.fromkeys(SIGNALS, 0)


@dataclass(slots=True)
class OpenWindow:
    """What came for a window so far, and what was published of it.

    Attributes:
        received: how many rows came, repeated ones included.
        distinct_on_time: how many rows revision 0 has.
    """

    service: str
    start_us: int
    end_us: int
    on_time: dict[Signal, list[Block]] = field(default_factory=_blocks)
    late: dict[Signal, list[Block]] = field(default_factory=_blocks)
    received: dict[Signal, int] = field(default_factory=_zeros)
    distinct_on_time: dict[Signal, int] = field(default_factory=_zeros)
    features: Features = field(default_factory=dict)
    truth: WindowTruth = NO_FAULTS

    def drop_rows(self) -> None:
        """Frees what came: from revision 1 on only labels may change."""
        self.on_time, self.late = _blocks(), _blocks()


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
        self.resume_us = resume_us
        self.is_sealed = False
        """Whether nobody joins it any more."""
        self._between_cuts_us = between_cuts_us
        self._windows: dict[tuple[int, str], OpenWindow] = {}
        self._first: list[tuple[int, str]] = []
        self._due: list[tuple[Cut, tuple[int, str]]] = []
        self._ends: list[tuple[int, str]] = []
        """Ends of the windows that are not final, and of some that are."""

    @property
    def final_us(self) -> int:
        """Windows that end by then are final."""
        while self._ends and self._ends[0] not in self._windows:
            heapq.heappop(self._ends)
        passed_us = self.watermarks.passed.final_us
        until_us = min(passed_us, self._ends[0][0] - 1) if self._ends else passed_us
        return max(self.resume_us, until_us)

    def window(self, end_us: int, service: str, start_us: int) -> OpenWindow:
        """The window of a service that ends at an instant; opened where it isn't there."""
        key = (end_us, service)
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = OpenWindow(service, start_us, end_us)
            heapq.heappush(self._first, key)
            heapq.heappush(self._due, (Cut(end_us, 1), key))
            heapq.heappush(self._ends, key)
        return window

    def past_first_cut(self) -> Iterator[list[OpenWindow]]:
        """Windows whose revision 0 is due, those that end together at a time."""
        first_us = self.watermarks.passed.first_us
        while self._first and self._first[0][0] <= first_us:
            end_us, together = self._first[0][0], []
            while self._first and self._first[0][0] == end_us:
                together.append(self._windows[heapq.heappop(self._first)])
            yield together

    def past_final_cut(self) -> Iterator[tuple[Cut, OpenWindow]]:
        """Windows that a revision after 0 is due of; each is final then, or to be kept for the next."""
        final_us = self.watermarks.passed.final_us
        while self._due and self._due[0][0].due_us <= final_us:
            cut, key = heapq.heappop(self._due)
            yield cut, self._windows[key]

    def keep(self, window: OpenWindow, cut: Cut) -> None:
        """Keeps a window for the cut after this one."""
        following = Cut(cut.due_us + self._between_cuts_us, cut.revision + 1)
        heapq.heappush(self._due, (following, (window.end_us, window.service)))

    def finish(self, window: OpenWindow) -> None:
        """Drops a window that is final."""
        del self._windows[window.end_us, window.service]

    def kept(self) -> list[OpenWindow]:
        """Windows that nothing can reach any more, but whose labels are not settled."""
        final_us = self.watermarks.passed.final_us
        return [window for (end_us, _), window in self._windows.items() if end_us <= final_us]
