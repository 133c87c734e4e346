"""gc-pause: the instance stops again and again for as long as a full collection of garbage takes."""

from __future__ import annotations

import asyncio
import sys
from typing import ClassVar

from services.workload.faults.base import FaultSite, fault
from services.workload.faults.parameters import Parameters
from services.workload.work import compute


@fault
class GcPause:
    """Parameters: `pause_us` (each, 1 ms to 2 s), `interval_us` (between two of them, 50 ms to 60 s)."""

    kind: ClassVar[str] = "gc-pause"

    def __init__(self, fault_id: str, parameters: Parameters, site: FaultSite) -> None:
        self._pause_s = parameters.number("pause_us", low=1_000, high=2_000_000) / 1e6
        self._interval_s = parameters.number("interval_us", low=50_000, high=60_000_000) / 1e6
        self._pauses: asyncio.Task[None] | None = None
        self.acted = 0

    async def apply(self) -> str:
        self._stop()
        self._pauses = asyncio.create_task(self._run())
        return f"stopped for {self._pause_s:g} s, again each {self._interval_s:g} s"

    async def recover(self) -> str:
        if self._pauses is not None:
            self._pauses.cancel()
        return f"stopped {self.acted} times"

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            self._stop()

    def _stop(self) -> None:
        """Computes, as a collector does, and lets no other thread of the process go on."""
        turns_s = sys.getswitchinterval()
        sys.setswitchinterval(10 * self._pause_s)
        try:
            compute(self._pause_s)
        finally:
            sys.setswitchinterval(turns_s)
        self.acted += 1
