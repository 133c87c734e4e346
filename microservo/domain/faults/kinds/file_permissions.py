"""file-permissions: the instance may not use its files."""

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
class FilePermissions(Fault):
    """Files on a volume of the instance seem to have other permissions."""

    kind: ClassVar[str] = "file-permissions"
    mechanisms: ClassVar[tuple[str, ...]] = ("chaos-mesh",)
    strong: ClassVar[Mapping[str, str]] = {"volume": "/data"}
    parameters: ClassVar[tuple[Parameter, ...]] = (
        VOLUME,
        Parameter(
            name="permissions",
            field="permissions",
            unit=COUNT,
            doc="as a decimal number; 0 lets nobody in",
            default="0",
            low=0,
            high=511,
        ),
        SHARE_OF_CALLS,
        FILE,
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
