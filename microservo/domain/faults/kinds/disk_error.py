"""disk-error: what the instance reads and writes fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.shared_parameters import FILE, SHARE_OF_CALLS, VOLUME
from microservo.domain.faults.symptoms import failed, served, towards_users
from microservo.domain.faults.units import COUNT


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class DiskError(Fault):
    """Calls of the file system on a volume of the instance fail."""

    kind: ClassVar[str] = "disk-error"
    mechanisms: ClassVar[tuple[str, ...]] = ("workload", "chaos-mesh")
    strong: ClassVar[Mapping[str, str]] = {"volume": "/data"}
    parameters: ClassVar[tuple[Parameter, ...]] = (
        VOLUME,
        Parameter(
            name="errno",
            field="errno",
            unit=COUNT,
            doc="number of the error; 5 is EIO, 28 ENOSPC",
            default="5",
            low=1,
            high=133,
        ),
        SHARE_OF_CALLS,
        FILE,
    )

    volume: str
    errno: int
    ratio: float
    path: str

    @property
    def severity(self) -> float:
        return self.ratio

    def contract(self) -> Contract:
        failing = failed(self.ratio, some_endpoints=True)
        return towards_users(failing, root=(served(failing),))
