"""jvm-cpu-hog: threads of a Java program burn its cores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.symptoms import STARVED, USERS, fewer, level, served, slow
from microservo.domain.faults.units import COUNT


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class JvmCpuHog(Fault):
    """Threads of a Java program burn its cores."""

    kind: ClassVar[str] = "jvm-cpu-hog"
    mechanisms: ClassVar[tuple[str, ...]] = ("chaos-mesh",)
    acts_on_host: ClassVar[bool] = True
    shows_idle: ClassVar[bool] = True
    stays_local: ClassVar[bool] = True
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="workers",
            field="workers",
            unit=COUNT,
            doc="burning threads",
            default="2",
            low=1,
            high=64,
        ),
    )

    workers: int

    @property
    def severity(self) -> float:
        return 1.0

    def contract(self) -> Contract:
        slower = slow(10.0, 0.4)
        return Contract(
            root=(level("process.cpu.utilization", 0.1), served(slower)),
            callers=(slower,),
            users=(slower.diluted(USERS),),
            callees=(fewer(STARVED),),
            neighbours=(served(slower),),
        )
