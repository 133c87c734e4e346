"""disk-error: a share of the transfers to and from the disk fails."""

from __future__ import annotations

import os
from typing import ClassVar

from services.workload.faults.base import FaultSite, fault
from services.workload.faults.disk import Transfers
from services.workload.faults.parameters import Parameters


@fault
class DiskError:
    """Parameters: `volume`, `path` (a file, or "" for all), `errno`, `ratio` (of transfers, 0..1)."""

    kind: ClassVar[str] = "disk-error"

    def __init__(self, fault_id: str, parameters: Parameters, site: FaultSite) -> None:
        self._transfers = Transfers(self.kind, fault_id, parameters, site)
        self._errno = parameters.integer("errno", low=1, high=133)
        self._fault_id = fault_id
        self._errors = site.volume.errors

    @property
    def acted(self) -> int:
        return self._transfers.count

    async def apply(self) -> str:
        self._errors[self._fault_id] = self._error
        return f"{self._transfers} end with {os.strerror(self._errno)!r}"

    async def recover(self) -> str:
        self._errors.pop(self._fault_id, None)
        return f"{self.acted} transfers have failed"

    def _error(self, path: str) -> int:
        return self._errno if self._transfers.has(path) else 0
