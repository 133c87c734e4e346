"""deadlock: the lock of the database's writer is held for good, and every request waits for it."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from microservo.errors import InvalidInput
from services.workload.faults.base import FaultSite, fault
from services.workload.faults.parameters import Parameters

# Who waits gives up after a second or so, and gives the lock back.
_PATIENCE_S = 4.0


@fault
class Deadlock:
    """No parameters. Of two at once the second waits for the lock as every request does, so it is refused."""

    kind: ClassVar[str] = "deadlock"
    acted = None

    def __init__(self, fault_id: str, parameters: Parameters, site: FaultSite) -> None:
        self._writer = site.database.writer

    async def apply(self) -> str:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._writer.acquire()
        except TimeoutError:
            msg = f"{self.kind}: somebody holds the lock already; try again when that is over"
            raise InvalidInput(msg) from None
        return "the lock is held for good"

    async def recover(self) -> str:
        self._writer.release()
        return "the lock is free"
