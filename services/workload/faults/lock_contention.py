"""lock-contention: each request keeps the lock of the database's writer longer, and the others wait."""

from __future__ import annotations

from typing import ClassVar

from services.workload.faults.base import FaultSite, fault
from services.workload.faults.parameters import Parameters


@fault
class LockContention:
    """Parameters: `hold_us` (how much longer, microseconds)."""

    kind: ClassVar[str] = "lock-contention"

    def __init__(self, fault_id: str, parameters: Parameters, site: FaultSite) -> None:
        self._hold_s = parameters.number("hold_us", low=1_000, high=10_000_000) / 1e6
        self._fault_id = fault_id
        self._delays = site.database.writer_delays
        self.acted = 0

    async def apply(self) -> str:
        self._delays[self._fault_id] = self._delay
        return f"each request holds the lock for {self._hold_s:g} s more"

    async def recover(self) -> str:
        self._delays.pop(self._fault_id, None)
        return f"{self.acted} requests held the lock longer"

    def _delay(self) -> float:
        self.acted += 1
        return self._hold_s
