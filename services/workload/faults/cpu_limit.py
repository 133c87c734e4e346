"""cpu-limit: the instance may use a part of its core only, and is throttled beyond it."""

from __future__ import annotations

from typing import ClassVar

from microservo.errors import InvalidInput
from services.workload.faults.base import FaultSite, fault
from services.workload.faults.parameters import Parameters
from services.workload.throttle import CpuQuota


@fault
class CpuLimit:
    """Parameters: `cores` (processor seconds a second, 0.01..1)."""

    kind: ClassVar[str] = "cpu-limit"

    def __init__(self, fault_id: str, parameters: Parameters, site: FaultSite) -> None:
        self._cores = parameters.number("cores", low=0.01, high=1.0)
        self._fault_id = fault_id
        self._limits = site.core.limits
        self._quota = CpuQuota(self._cores)

    @property
    def acted(self) -> int:
        return self._quota.throttled

    async def apply(self) -> str:
        if self._limits:
            msg = f"{self.kind}: {min(self._limits)} limits the instance already; recover it first"
            raise InvalidInput(msg)
        self._limits.add(self._fault_id)
        self._quota.start()
        return f"{self._cores:g} cores from now on"

    async def recover(self) -> str:
        self._quota.stop()
        self._limits.discard(self._fault_id)
        return f"was throttled {self.acted} times"
