"""file-permissions: the instance may not use its files."""

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
class FilePermissions(Fault):
    """Files on a volume of the instance seem to have other permissions."""

    kind: ClassVar[str] = "file-permissions"
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
            name="permissions",
            field="permissions",
            unit=COUNT,
            doc="as a decimal number; 0 lets nobody in",
            default="0",
            low=0,
            high=511,
        ),
        Parameter(
            name="ratio",
            field="ratio",
            unit=RATIO,
            doc="share of calls",
            default="100%",
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
    permissions: int
    ratio: float
    path: str

    @property
    def severity(self) -> float:
        return self.ratio

    def contract(self) -> Contract:
        failing = failed(self.ratio, some_endpoints=True)
        return towards_users(failing, root=(served(failing),))
