"""clock-skew: the clock that the instance reads is wrong, for all that it tells and for deadlines."""

from __future__ import annotations

from typing import ClassVar

from services.workload.faults.base import FaultSite, fault
from services.workload.faults.parameters import Parameters

_DAY_US = 86_400_000_000


@fault
class ClockSkew:
    """Parameters: `offset_us` (ahead, microseconds; negative: behind)."""

    kind: ClassVar[str] = "clock-skew"
    acted = None

    def __init__(self, fault_id: str, parameters: Parameters, site: FaultSite) -> None:
        self._offset_us = parameters.integer("offset_us", low=-_DAY_US, high=_DAY_US)
        self._fault_id = fault_id
        self._clock = site.clock

    async def apply(self) -> str:
        self._clock.offsets_us[self._fault_id] = self._offset_us
        return f"the clock shows {self._clock.now_us()} us"

    async def recover(self) -> str:
        self._clock.offsets_us.pop(self._fault_id, None)
        return f"the clock shows {self._clock.now_us()} us"
