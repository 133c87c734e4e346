"""disk-slow: what the instance reads and writes takes longer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.shared_parameters import FILE, SHARE_OF_CALLS, VOLUME
from microservo.domain.faults.symptoms import served, slow, towards_users
from microservo.domain.faults.units import DURATION

_FULL_SEVERITY_US = 1_000_000


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class DiskSlow(Fault):
    """Calls of the file system on a volume of the instance take longer."""

    kind: ClassVar[str] = "disk-slow"
    mechanisms: ClassVar[tuple[str, ...]] = ("workload", "chaos-mesh")
    strong: ClassVar[Mapping[str, str]] = {"volume": "/data", "delay": "200ms"}
    parameters: ClassVar[tuple[Parameter, ...]] = (
        VOLUME,
        Parameter(
            name="delay",
            field="delay_us",
            unit=DURATION,
            doc="of each such call",
            low=1_000,
            high=60_000_000,
        ),
        SHARE_OF_CALLS,
        FILE,
    )

    volume: str
    delay_us: int
    ratio: float
    path: str

    @property
    def severity(self) -> float:
        return self.ratio * min(1.0, self.delay_us / _FULL_SEVERITY_US)

    def contract(self) -> Contract:
        slower = slow(self.delay_us / 1000, self.ratio, some_endpoints=True)
        return towards_users(slower, root=(served(slower),))
