"""network-delay: every segment that leaves the instance takes longer."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import ClassVar, Self

from services.sidecar.faults.base import MAX_WAIT_US, Effect, Parameters, segment_fault


@segment_fault
class NetworkDelay:
    """Adds `latency_us` ± `jitter_us` (uniform, never below 0) to each segment.

    A delay, not a queue: segments wait side by side, so throughput suffers only by the window. With jitter
    they would overtake one another; TCP puts them in order again, hence a late one holds up those behind
    it.
    """

    kind: ClassVar[str] = "network-delay"

    def __init__(self, *, latency_us: int, jitter_us: int, chance: random.Random) -> None:
        self._latency_us = latency_us
        self._jitter_us = jitter_us
        self._chance = chance

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, object], chance: random.Random) -> Self:
        read = Parameters(cls.kind, parameters)
        latency_us = read.whole("latency_us", least=0, most=MAX_WAIT_US)
        jitter_us = read.whole("jitter_us", least=0, most=MAX_WAIT_US)
        read.peer()
        read.finish()
        return cls(latency_us=latency_us, jitter_us=jitter_us, chance=chance)

    def on_segment(self, size_bytes: int, now_s: float) -> Effect | None:
        late_us = self._latency_us + self._chance.uniform(-self._jitter_us, self._jitter_us)
        return Effect(hold_s=max(0.0, late_us) / 1e6)
