"""log-flood: each request logs many lines, as with a level for debugging that was left on."""

from __future__ import annotations

from typing import ClassVar

from services.workload.faults.base import FaultSite, fault
from services.workload.faults.parameters import Parameters
from services.workload.request import Request


@fault
class LogFlood:
    """Parameters: `lines` (by each request, 1..500)."""

    kind: ClassVar[str] = "log-flood"

    def __init__(self, fault_id: str, parameters: Parameters, site: FaultSite) -> None:
        self._lines = parameters.integer("lines", low=1, high=500)
        self._fault_id = fault_id
        self._beginnings = site.hooks.beginnings
        self._telemetry = site.telemetry
        self.acted = 0

    async def apply(self) -> str:
        self._beginnings[self._fault_id] = self._log
        return f"each request logs {self._lines} lines more"

    async def recover(self) -> str:
        self._beginnings.pop(self._fault_id, None)
        return f"{self.acted} requests logged more"

    async def _log(self, request: Request) -> None:
        self.acted += 1
        for number in range(self._lines):
            text = f"{request.endpoint.name} of {request.key}: field {number} has {len(request.id)} bytes"
            self._telemetry.log("INFO", text, request.span)
