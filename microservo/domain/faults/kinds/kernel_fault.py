"""kernel-fault: calls of the kernel fail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.symptoms import failed, served, towards_users
from microservo.domain.faults.units import COUNT, RATIO


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class KernelFault(Fault):
    """Memory or blocks that the kernel allocates for the instance are refused.

    It needs a kernel that was built for the injection of faults.
    """

    kind: ClassVar[str] = "kernel-fault"
    mechanisms: ClassVar[tuple[str, ...]] = ("chaos-mesh",)
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="fails",
            field="fails",
            unit=COUNT,
            doc="0: memory (slab), 1: pages, 2: block requests",
            default="0",
            low=0,
            high=2,
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
            name="times",
            field="times",
            unit=COUNT,
            doc="most failures",
            default="1",
            low=1,
            high=1_000_000,
        ),
    )

    fails: int
    ratio: float
    times: int

    @property
    def severity(self) -> float:
        return self.ratio

    def contract(self) -> Contract:
        failing = failed(self.ratio, some_endpoints=True)
        return towards_users(failing, root=(served(failing),))
