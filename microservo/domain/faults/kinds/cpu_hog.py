"""cpu-hog: processes of the instance burn its core, and its requests slow down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.symptoms import STARVED, USERS, fewer, level, served, slow
from microservo.domain.faults.units import COUNT, RATIO


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class CpuHog(Fault):
    """Processes of the instance burn its core.

    An instance has one core, as under a container's limit; more of them make some requests wait longer.
    """

    kind: ClassVar[str] = "cpu-hog"
    mechanisms: ClassVar[tuple[str, ...]] = ("workload", "chaos-mesh")
    acts_on_host: ClassVar[bool] = True
    shows_idle: ClassVar[bool] = True
    stays_local: ClassVar[bool] = True
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="workers", field="workers", unit=COUNT, doc="burning processes", default="2", low=1, high=64
        ),
        Parameter(
            name="load",
            field="load_ratio",
            unit=RATIO,
            doc="share of its time that each of them burns",
            default="100%",
            low=0.01,
            high=1,
        ),
    )

    workers: int
    load_ratio: float

    @property
    def severity(self) -> float:
        return self._cores

    def contract(self) -> Contract:
        slower = slow(10.0, 0.4)
        return Contract(
            # Both cores of a small machine may be wanted by others, hence a tenth.
            root=(level("process.cpu.utilization", 0.1 * self._cores), served(slower)),
            callers=(slower,),
            users=(slower.diluted(USERS),),
            callees=(fewer(STARVED),),
            neighbours=(served(slower),),
        )

    @property
    def _cores(self) -> float:
        return min(1.0, self.workers * self.load_ratio)
