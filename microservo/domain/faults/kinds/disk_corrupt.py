"""disk-corrupt: what the instance reads and writes has wrong bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.symptoms import failed, served, towards_users
from microservo.domain.faults.units import COUNT, RATIO, TEXT


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
        Parameter(
            name="volume",
            field="volume",
            unit=TEXT,
            doc="folder in the container that a volume is mounted on",
        ),
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
        Parameter(
            name="ratio",
            field="ratio",
            unit=RATIO,
            doc="share of calls",
            default="50%",
            low=0.001,
            high=1,
        ),
        Parameter(
            name="path",
            field="path",
            unit=TEXT,
            doc="only this file; empty: all below the volume",
            default="",
        ),
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
