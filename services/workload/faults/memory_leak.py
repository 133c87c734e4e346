"""memory-leak: each request leaves memory behind for good, until there is as much as allowed."""

from __future__ import annotations

from typing import ClassVar

import psutil

from microservo.errors import InvalidInput
from services.workload.faults.base import FaultSite, fault
from services.workload.faults.memory_hog import RESERVE_BYTES, resident_bytes
from services.workload.faults.parameters import Parameters
from services.workload.request import Request
from services.workload.work import Ballast


@fault
class MemoryLeak:
    """Parameters: `bytes` (by each request), `most_bytes` (in all)."""

    kind: ClassVar[str] = "memory-leak"

    def __init__(self, fault_id: str, parameters: Parameters, site: FaultSite) -> None:
        self._size_bytes = parameters.integer("bytes", low=2**10, high=2**30)
        self._most_bytes = parameters.integer("most_bytes", low=2**10, high=2**40)
        self._fault_id = fault_id
        self._beginnings = site.hooks.beginnings
        self._lost: list[Ballast] = []
        self.acted = 0

    async def apply(self) -> str:
        available = psutil.virtual_memory().available
        if self._most_bytes + RESERVE_BYTES > available:
            msg = (
                f"{self.kind}: most_bytes is {self._most_bytes}, but only {available} are available and "
                f"{RESERVE_BYTES} must stay free; ask for less"
            )
            raise InvalidInput(msg)
        self._beginnings[self._fault_id] = self._lose
        return f"each request loses {self._size_bytes} bytes, resident memory is {resident_bytes()} bytes"

    async def recover(self) -> str:
        self._beginnings.pop(self._fault_id, None)
        before = resident_bytes()
        for lost in self._lost:
            lost.release()
        self._lost.clear()
        return f"resident memory went from {before} to {resident_bytes()} bytes"

    async def _lose(self, _: Request) -> None:
        if (self.acted + 1) * self._size_bytes > self._most_bytes:
            return
        self.acted += 1
        lost = Ballast(self._size_bytes)
        self._lost.append(lost)
        for _filled in lost.fill():
            pass
