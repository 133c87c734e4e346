"""memory-hog: the instance holds more memory, every page of it written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.symptoms import STARVED, USERS, fewer, level, served, slow
from microservo.domain.faults.units import SIZE

_FULL_SEVERITY_BYTES = 2**30


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryHog(Fault):
    """The instance holds more memory, every page of it written.

    Refused by the instance where the machine hasn't that much to spare.
    """

    kind: ClassVar[str] = "memory-hog"
    strong: ClassVar[Mapping[str, str]] = {"size": "128MiB"}
    mechanisms: ClassVar[tuple[str, ...]] = ("workload", "chaos-mesh")
    acts_on_host: ClassVar[bool] = True
    shows_idle: ClassVar[bool] = True
    stays_local: ClassVar[bool] = True
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="size",
            field="bytes",
            unit=SIZE,
            doc="held in addition, by each instance",
            default="128MiB",
            low=2**20,
            high=16 * 2**30,
        ),
    )

    bytes: int

    @property
    def severity(self) -> float:
        return min(1.0, self.bytes / _FULL_SEVERITY_BYTES)

    def contract(self) -> Contract:
        slower = slow(10.0, 0.4)
        return Contract(
            root=(level("process.memory.usage", 0.5 * self.bytes),),
            callers=(slower,),
            users=(slower.diluted(USERS),),
            callees=(fewer(STARVED),),
            neighbours=(served(slower),),
        )
