"""dns-failure: names that the instance looks up are answered with an error."""

from __future__ import annotations

import socket
from typing import ClassVar

from services.workload.faults.base import FaultSite, fault
from services.workload.faults.parameters import Parameters


@fault
class DnsFailure:
    """Parameters: `name` (of a service that the instance calls, or "" for all)."""

    kind: ClassVar[str] = "dns-failure"

    def __init__(self, fault_id: str, parameters: Parameters, site: FaultSite) -> None:
        self._name = parameters.choice("name", site.callees)
        self._fault_id = fault_id
        self._outgoing = site.outgoing
        self.acted = 0

    async def apply(self) -> str:
        self._outgoing.disturbances[self._fault_id] = self
        return f"looking up {self._name or 'any name'} fails"

    async def recover(self) -> str:
        self._outgoing.disturbances.pop(self._fault_id, None)
        return f"{self.acted} names were not found"

    async def reach(self, service: str, url: str) -> str:
        if self._name not in ("", service):
            return url
        self.acted += 1
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
