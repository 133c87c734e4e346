"""What is kept of a run until its windows are final."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field

from microservo.domain.blocks import Block
from microservo.domain.features import Features
from microservo.domain.labels import FaultVersions
from microservo.domain.telemetry import SIGNALS, Signal
from microservo.domain.watermarks import Watermarks
from schemas.records import Label


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
    on_time: dict[Signal, list[Block]] = field(default_factory=_blocks)
    late: dict[Signal, list[Block]] = field(default_factory=_blocks)
    received: dict[Signal, int] = field(default_factory=_zeros)
    distinct_on_time: dict[Signal, int] = field(default_factory=_zeros)
    features: Features = field(default_factory=dict)
    labels: tuple[Label, ...] = ()


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
        self._first: list[tuple[int, str]] = []
        self._final: list[tuple[int, str]] = []

    @property
    def final_us(self) -> int:
        """Windows that end by then are final."""
        return max(self.resume_us, self.watermarks.passed.final_us)

    def window(self, end_us: int, service: str, start_us: int) -> OpenWindow:
        """The window of a service that ends at an instant; opened where it isn't there."""
        key = (end_us, service)
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = OpenWindow(service, start_us)
            heapq.heappush(self._first, key)
            heapq.heappush(self._final, key)
        return window

    def past_first_cut(self) -> Iterator[list[OpenWindow]]:
        """Removes the windows whose revision 0 is due, those that end together at a time."""
        first_us = self.watermarks.passed.first_us
        while self._first and self._first[0][0] <= first_us:
            end_us, together = self._first[0][0], []
            while self._first and self._first[0][0] == end_us:
                together.append(self._windows[heapq.heappop(self._first)])
            yield together

    def past_final_cut(self) -> Iterator[OpenWindow]:
        """Removes the windows that nothing can reach any more."""
        final_us = self.watermarks.passed.final_us
        while self._final and self._final[0][0] <= final_us:
            yield self._windows.pop(heapq.heappop(self._final))
