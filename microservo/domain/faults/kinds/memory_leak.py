"""memory-leak: each request leaves memory behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.symptoms import at_root, level
from microservo.domain.faults.units import SIZE

_FULL_SEVERITY_BYTES = 2**30
_LEAST_BYTES = 2.0**20
_REQUESTS = 16.0
"""As many as come in some seconds of little load."""


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryLeak(Fault):
    """Each request leaves memory behind, every page of it written.

    It grows with the requests up to a limit, and is given back when the fault ends.
    """

    kind: ClassVar[str] = "memory-leak"
    mechanisms: ClassVar[tuple[str, ...]] = ("workload",)
    stays_local: ClassVar[bool] = True
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="size",
            field="bytes",
            unit=SIZE,
            doc="by each request",
            default="512KiB",
            low=2**10,
            high=64 * 2**20,
        ),
        Parameter(
            name="most",
            field="most_bytes",
            unit=SIZE,
            doc="in all",
            default="256MiB",
            low=2**20,
            high=16 * 2**30,
        ),
    )

    bytes: int
    most_bytes: int

    @property
    def severity(self) -> float:
        return min(1.0, self.most_bytes / _FULL_SEVERITY_BYTES)

    def contract(self) -> Contract:
        grown = min(_REQUESTS * self.bytes, 0.5 * self.most_bytes)
        return at_root(level("process.memory.usage", max(_LEAST_BYTES, grown)))
