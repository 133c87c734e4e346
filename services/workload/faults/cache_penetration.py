"""cache-penetration: a share of the requests asks for what isn't there, which no cache can answer."""

from __future__ import annotations

import itertools
from typing import ClassVar

from services.workload.faults.base import FaultSite, fault
from services.workload.faults.parameters import Parameters
from services.workload.faults.shares import Share


@fault
class CachePenetration:
    """Parameters: `ratio` (share of requests, 0..1)."""

    kind: ClassVar[str] = "cache-penetration"

    def __init__(self, fault_id: str, parameters: Parameters, site: FaultSite) -> None:
        self._share = Share(fault_id, site, ratio=parameters.number("ratio", low=0.0, high=1.0))
        self._fault_id = fault_id
        self._renamers = site.hooks.renamers
        # Beyond every user that there is.
        self._numbers = itertools.count(10**6)

    @property
    def acted(self) -> int:
        return self._share.count

    async def apply(self) -> str:
        self._renamers[self._fault_id] = self._rename
        return f"keys that no cache holds in {self._share}"

    async def recover(self) -> str:
        self._renamers.pop(self._fault_id, None)
        return f"{self._share.count} requests asked for keys that no cache holds"

    def _rename(self, key: str) -> str:
        return f"user-{next(self._numbers)}" if self._share.has("") else key
