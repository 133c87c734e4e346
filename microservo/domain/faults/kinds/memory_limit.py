"""memory-limit: the heap of the instance may hold less."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.symptoms import served, slow, towards_users
from microservo.domain.faults.units import SIZE

_FULL_SEVERITY_BYTES = 64 * 2**10
_COLLECTION_MS = 4.0


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryLimit(Fault):
    """The heap may hold less, so that garbage is collected again and again.

    Each collection takes processor time, in which nothing is served.
    """

    kind: ClassVar[str] = "memory-limit"
    mechanisms: ClassVar[tuple[str, ...]] = ("workload",)
    strong: ClassVar[Mapping[str, str]] = {"size": "64KiB"}
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="size",
            field="bytes",
            unit=SIZE,
            doc="of the heap",
            default="128KiB",
            low=2**10,
            high=2**30,
        ),
    )

    bytes: int

    @property
    def severity(self) -> float:
        return min(1.0, _FULL_SEVERITY_BYTES / self.bytes)

    def contract(self) -> Contract:
        slower = slow(_COLLECTION_MS, 0.4)
        return towards_users(slower, root=(served(slower),))
