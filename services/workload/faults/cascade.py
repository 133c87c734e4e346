"""cascade: answers carry so much in addition that callers run out of processor time when they read them."""

from __future__ import annotations

from typing import ClassVar

from services.workload.faults.base import FaultSite, fault
from services.workload.faults.parameters import Parameters
from services.workload.faults.shares import Share

_ROW = b'{"id":0}'
_MOST_BYTES = 16 * 2**20


@fault
class Cascade:
    """Parameters: `bytes` (in addition), `ratio` (share of requests, 0..1)."""

    kind: ClassVar[str] = "cascade"

    def __init__(self, fault_id: str, parameters: Parameters, site: FaultSite) -> None:
        size_bytes = parameters.integer("bytes", low=1, high=_MOST_BYTES)
        self._share = Share(fault_id, site, ratio=parameters.number("ratio", low=0.0, high=1.0))
        # Made once: the first failure must not use up the processor of its own instance.
        self._rows = b"[" + b",".join([_ROW] * max(1, size_bytes // (len(_ROW) + 1))) + b"]"
        self._fault_id = fault_id
        self._attachers = site.hooks.attachers

    @property
    def acted(self) -> int:
        return self._share.count

    async def apply(self) -> str:
        self._attachers[self._fault_id] = self._attached
        return f"{len(self._rows)} bytes more are answered to {self._share}"

    async def recover(self) -> str:
        self._attachers.pop(self._fault_id, None)
        return f"{self._share.count} requests were answered with more"

    def _attached(self, endpoint: str) -> bytes:
        return self._rows if self._share.has(endpoint) else b""
