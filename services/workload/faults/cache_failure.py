"""cache-failure: the caches of the instance answer nothing and keep nothing."""

from __future__ import annotations

from typing import ClassVar

from services.workload.faults.base import FaultSite, fault
from services.workload.faults.parameters import Parameters


@fault
class CacheFailure:
    """No parameters."""

    kind: ClassVar[str] = "cache-failure"

    def __init__(self, fault_id: str, parameters: Parameters, site: FaultSite) -> None:
        self.acted = 0
        self._fault_id = fault_id
        self._outages = site.caches.outages

    async def apply(self) -> str:
        self._outages[self._fault_id] = self._count
        return "the caches hold nothing"

    async def recover(self) -> str:
        self._outages.pop(self._fault_id, None)
        return f"{self.acted} reads found the caches away"

    def _count(self) -> None:
        self.acted += 1
