"""disk-slow: a share of the transfers to and from the disk takes longer."""

from __future__ import annotations

from typing import ClassVar

from services.workload.faults.base import FaultSite, fault
from services.workload.faults.disk import Transfers
from services.workload.faults.parameters import Parameters


@fault
class DiskSlow:
    """Parameters: `volume`, `path` (a file, or "" for all), `delay_us`, `ratio` (of transfers, 0..1)."""

    kind: ClassVar[str] = "disk-slow"

    def __init__(self, fault_id: str, parameters: Parameters, site: FaultSite) -> None:
        self._transfers = Transfers(self.kind, fault_id, parameters, site)
        self._delay_s = parameters.number("delay_us", low=1_000, high=60_000_000) / 1e6
        self._fault_id = fault_id
        self._latencies = site.volume.latencies

    @property
    def acted(self) -> int:
        return self._transfers.count

    async def apply(self) -> str:
        self._latencies[self._fault_id] = self._latency
        return f"{self._transfers} take {self._delay_s:g} s longer"

    async def recover(self) -> str:
        self._latencies.pop(self._fault_id, None)
        return f"{self.acted} transfers took longer"

    def _latency(self, path: str) -> float:
        return self._delay_s if self._transfers.has(path) else 0.0
