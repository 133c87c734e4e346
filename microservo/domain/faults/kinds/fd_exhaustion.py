"""fd-exhaustion: the instance can open no more files and connections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.symptoms import failed, served, towards_users
from microservo.domain.faults.units import COUNT


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class FdExhaustion(Fault):
    """All file descriptors that the process may have are taken but some.

    Connections that are open go on; what needs a new one, or a file, fails.
    """

    kind: ClassVar[str] = "fd-exhaustion"
    mechanisms: ClassVar[tuple[str, ...]] = ("limits",)
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="left",
            field="left",
            unit=COUNT,
            doc="descriptors that are left",
            default="0",
            low=0,
            high=1000,
        ),
    )

    left: int

    @property
    def severity(self) -> float:
        return 1.0 / (1.0 + self.left)

    def contract(self) -> Contract:
        failing = failed(0.5)
        return towards_users(failing, root=(served(failing),))
