"""app-exception: a share of the requests meets a broken record, and the service's code raises on it."""

from __future__ import annotations

from typing import ClassVar

from services.workload.faults.base import FaultSite, fault
from services.workload.faults.parameters import Parameters
from services.workload.faults.shares import Share


@fault
class AppException:
    """Parameters: `ratio` (share of requests, 0..1), `endpoint` (name, or "" for all)."""

    kind: ClassVar[str] = "app-exception"

    def __init__(self, fault_id: str, parameters: Parameters, site: FaultSite) -> None:
        self._share = Share.of(fault_id, parameters, site)
        self._fault_id = fault_id
        self._spoilers = site.hooks.spoilers

    @property
    def acted(self) -> int:
        return self._share.count

    async def apply(self) -> str:
        self._spoilers[self._fault_id] = self._share.has
        return f"{len(self._spoilers)} in force, {self._share}"

    async def recover(self) -> str:
        self._spoilers.pop(self._fault_id, None)
        return f"{len(self._spoilers)} in force"
