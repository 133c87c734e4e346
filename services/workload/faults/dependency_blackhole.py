"""dependency-blackhole: what the instance sends to a service vanishes."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from services.workload.faults.base import FaultSite, fault
from services.workload.faults.parameters import Parameters


@fault
class DependencyBlackhole:
    """Parameters: `peer` (a service that the instance calls, or "" for all).

    A call waits before it is sent, until its time limit; when the fault ends first, it is sent then, as TCP
    would send again what was lost. Calls that are under way when it begins still have their answers.
    """

    kind: ClassVar[str] = "dependency-blackhole"

    def __init__(self, fault_id: str, parameters: Parameters, site: FaultSite) -> None:
        self._peer = self._read(parameters, site)
        self._fault_id = fault_id
        self._outgoing = site.outgoing
        self._over = asyncio.Event()
        self.acted = 0

    async def apply(self) -> str:
        self._outgoing.disturbances[self._fault_id] = self
        return f"calls of {self._peer or 'every service'} are not sent"

    async def recover(self) -> str:
        self._outgoing.disturbances.pop(self._fault_id, None)
        self._over.set()
        return f"{self.acted} calls were held, those that still wait are sent"

    async def reach(self, service: str, url: str) -> str:
        if self._peer in ("", service):
            self.acted += 1
            await self._over.wait()
        return url

    def _read(self, parameters: Parameters, site: FaultSite) -> str:
        return parameters.choice("peer", site.callees)
