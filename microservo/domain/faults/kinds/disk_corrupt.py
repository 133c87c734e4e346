"""disk-corrupt: what the instance reads and writes has wrong bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.shared_parameters import FILE, SHARE_OF_CALLS, VOLUME
from microservo.domain.faults.symptoms import failed, served, towards_users
from microservo.domain.faults.units import COUNT


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class DiskCorrupt(Fault):
    """Bytes are wrong in what is read from and written to a volume of the instance.

    What was written so stays wrong when the fault is over.
    """

    kind: ClassVar[str] = "disk-corrupt"
    mechanisms: ClassVar[tuple[str, ...]] = ("chaos-mesh",)
    strong: ClassVar[Mapping[str, str]] = {"volume": "/data"}
    parameters: ClassVar[tuple[Parameter, ...]] = (
        VOLUME,
        Parameter(
            name="occurrences",
            field="occurrences",
            unit=COUNT,
            doc="most places in one call",
            default="1",
            low=1,
            high=1000,
        ),
        Parameter(
            name="length",
            field="length",
            unit=COUNT,
            doc="most bytes at a place",
            default="10",
            low=1,
            high=1_000_000,
        ),
        replace(SHARE_OF_CALLS, default="50%"),
        FILE,
    )

    volume: str
    occurrences: int
    length: int
    ratio: float
    path: str

    @property
    def severity(self) -> float:
        return self.ratio

    def contract(self) -> Contract:
        failing = failed(self.ratio, some_endpoints=True)
        return towards_users(failing, root=(served(failing),))
