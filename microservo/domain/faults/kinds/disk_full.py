"""disk-full: the disk of the instance has no room left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.symptoms import failed, level, served, towards_users
from microservo.domain.faults.units import SIZE, TEXT

_A_ROW_BYTES = 16
"""A request that writes no more than this finds room."""


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class DiskFull(Fault):
    """A file takes what is left of the volume of the instance, up to its quota.

    Reads go on; what a request writes fails.
    """

    kind: ClassVar[str] = "disk-full"
    mechanisms: ClassVar[tuple[str, ...]] = ("workload",)
    strong: ClassVar[Mapping[str, str]] = {"volume": "/data"}
    shows_idle: ClassVar[bool] = True
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="volume",
            field="volume",
            unit=TEXT,
            doc="folder that a volume is mounted on",
            default="/data",
        ),
        Parameter(
            name="left",
            field="left_bytes",
            unit=SIZE,
            doc="that stays free",
            default="0B",
            low=0,
            high=16 * 2**30,
        ),
    )

    volume: str
    left_bytes: int

    @property
    def severity(self) -> float:
        return 1.0 / (1.0 + self.left_bytes / 2**20)

    def contract(self) -> Contract:
        failing = failed(1.0 if self.left_bytes < _A_ROW_BYTES else 0.1)
        full = level("system.filesystem.utilization", 0.3)
        return towards_users(failing, root=(served(failing), full))
