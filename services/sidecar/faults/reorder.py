"""network-reorder: a share of the segments that leave the instance overtakes the others."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import ClassVar, Self

from services.sidecar.faults.base import MAX_WAIT_US, Effect, Parameters, segment_fault


@segment_fault
class NetworkReorder:
    """Holds segments back for `latency_us`, but for a `ratio` of each `gap`-th one, which is sent at once.

    As `reorder` of tc-netem(8) does. TCP puts segments in order again, so one that overtakes on a connection
    waits for those before it; it is early only where there are none.
    """

    kind: ClassVar[str] = "network-reorder"

    def __init__(self, *, latency_us: int, ratio: float, gap: int, chance: random.Random) -> None:
        self._latency_us = latency_us
        self._ratio = ratio
        self._gap = gap
        self._chance = chance
        self._delayed = 0

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, object], chance: random.Random) -> Self:
        read = Parameters(cls.kind, parameters)
        latency_us = read.whole("latency_us", least=0, most=MAX_WAIT_US)
        ratio, gap = read.ratio(), read.whole("gap", least=1, most=1000)
        read.finish()
        return cls(latency_us=latency_us, ratio=ratio, gap=gap, chance=chance)

    def on_segment(self, size_bytes: int, now_s: float) -> Effect | None:
        if self._delayed >= self._gap - 1 and self._chance.random() < self._ratio:
            self._delayed = 0
            return None
        self._delayed += 1
        return Effect(hold_s=self._latency_us / 1e6)
