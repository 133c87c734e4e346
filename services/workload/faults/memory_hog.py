"""memory-hog: holds memory with every page written, and returns it to the system."""

from __future__ import annotations

import asyncio
from typing import ClassVar

import psutil

from microservo.errors import InvalidInput
from services.workload.faults.base import FaultSite, fault
from services.workload.faults.parameters import Parameters
from services.workload.work import Ballast

_MAX_BYTES = 2**40
# What must stay free, or the kernel ends another process.
RESERVE_BYTES = 256 * 2**20


@fault
class MemoryHog:
    """Parameters: `bytes` (held in addition to what the instance holds)."""

    kind: ClassVar[str] = "memory-hog"
    acted = None

    def __init__(self, fault_id: str, parameters: Parameters, site: FaultSite) -> None:
        self._size_bytes = parameters.integer("bytes", low=1, high=_MAX_BYTES)
        self._ballast: Ballast | None = None

    async def apply(self) -> str:
        available = psutil.virtual_memory().available
        if self._size_bytes + RESERVE_BYTES > available:
            msg = (
                f"{self.kind}: bytes is {self._size_bytes}, but only {available} are available and "
                f"{RESERVE_BYTES} must stay free; ask for less"
            )
            raise InvalidInput(msg)
        before = resident_bytes()
        try:
            self._ballast = Ballast(self._size_bytes)
            # On the loop rather than on a thread, which would stay behind.
            for _ in self._ballast.fill():
                await asyncio.sleep(0)
        except (OSError, MemoryError) as error:
            msg = f"{self.kind}: the system refused {self._size_bytes} bytes ({error}); ask for less"
            raise InvalidInput(msg) from error
        return f"resident memory went from {before} to {resident_bytes()} bytes"

    async def recover(self) -> str:
        before = resident_bytes()
        if self._ballast is not None:
            self._ballast.release()
        return f"resident memory went from {before} to {resident_bytes()} bytes"


def resident_bytes() -> int:
    """Memory of this process, in bytes."""
    return psutil.Process().memory_info().rss
