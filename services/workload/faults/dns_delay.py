"""dns-delay: names that the instance looks up are answered late."""

from __future__ import annotations

import asyncio
import contextlib
from typing import ClassVar

from services.workload.faults.base import FaultSite, fault
from services.workload.faults.parameters import Parameters

_MOST_US = 600_000_000


@fault
class DnsDelay:
    """Parameters: `delay_us` (before each answer), `name` (of a service that it calls, or "" for all)."""

    kind: ClassVar[str] = "dns-delay"

    def __init__(self, fault_id: str, parameters: Parameters, site: FaultSite) -> None:
        self._delay_s = parameters.integer("delay_us", low=0, high=_MOST_US) / 1e6
        self._name = parameters.choice("name", site.callees)
        self._fault_id = fault_id
        self._outgoing = site.outgoing
        self._over = asyncio.Event()
        self.acted = 0

    async def apply(self) -> str:
        self._outgoing.disturbances[self._fault_id] = self
        return f"looking up {self._name or 'any name'} takes {1000 * self._delay_s:g} ms"

    async def recover(self) -> str:
        self._outgoing.disturbances.pop(self._fault_id, None)
        self._over.set()
        return f"{self.acted} names were looked up late"

    async def reach(self, service: str, url: str) -> str:
        if self._name in ("", service):
            self.acted += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), self._delay_s)
        return url
