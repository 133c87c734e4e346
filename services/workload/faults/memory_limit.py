"""memory-limit: the heap may hold less, so that garbage is collected again and again."""

from __future__ import annotations

from typing import ClassVar

from services.workload.faults.base import FaultSite, fault
from services.workload.faults.parameters import Parameters


@fault
class MemoryLimit:
    """Parameters: `bytes` (of the heap)."""

    kind: ClassVar[str] = "memory-limit"

    def __init__(self, fault_id: str, parameters: Parameters, site: FaultSite) -> None:
        self._limit_bytes = parameters.integer("bytes", low=2**10, high=2**40)
        self._fault_id = fault_id
        self._heap = site.heap
        self._before = 0

    @property
    def acted(self) -> int:
        """Collections since."""
        return self._heap.collections - self._before

    async def apply(self) -> str:
        before = self._heap.size_bytes
        self._heap.limit(self._fault_id, self._limit_bytes)
        self._before = self._heap.collections
        return f"the heap holds {self._heap.size_bytes} instead of {before} bytes"

    async def recover(self) -> str:
        times = self.acted
        self._heap.lift(self._fault_id)
        # Which collects once more.
        self._before = self._heap.collections - times
        return f"collected {times} times, the heap holds {self._heap.size_bytes} bytes"
