"""retry-storm: calls that fail or take a little long are made again at once, many times."""

from __future__ import annotations

from typing import ClassVar

from services.workload.faults.base import FaultSite, fault
from services.workload.faults.parameters import Parameters
from services.workload.outgoing import Impatience

_MOST_US = 600_000_000


@fault
class RetryStorm:
    """Parameters: `retries` of one call, `after_us` (what is too long), `peer` (a callee, or "" for all)."""

    kind: ClassVar[str] = "retry-storm"

    def __init__(self, fault_id: str, parameters: Parameters, site: FaultSite) -> None:
        self._impatience = Impatience(
            service=parameters.choice("peer", site.callees),
            retries=parameters.integer("retries", low=1, high=50),
            after_us=parameters.integer("after_us", low=1, high=_MOST_US),
            again=self._again,
        )
        self._fault_id = fault_id
        self._outgoing = site.outgoing
        self.acted = 0

    async def apply(self) -> str:
        self._outgoing.impatience[self._fault_id] = self._impatience
        after_ms = self._impatience.after_us / 1000
        return f"calls are made again after {after_ms:g} ms, {self._impatience.retries} times"

    async def recover(self) -> str:
        self._outgoing.impatience.pop(self._fault_id, None)
        return f"{self.acted} calls were made again"

    def _again(self) -> None:
        self.acted += 1
