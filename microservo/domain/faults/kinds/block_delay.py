"""block-delay: the block device under a volume takes longer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.symptoms import served, slow, towards_users
from microservo.domain.faults.units import DURATION, TEXT

_FULL_SEVERITY_US = 1_000_000


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class BlockDelay(Fault):
    """The block device under a volume of the instance takes longer."""

    kind: ClassVar[str] = "block-delay"
    mechanisms: ClassVar[tuple[str, ...]] = ("chaos-mesh",)
    strong: ClassVar[Mapping[str, str]] = {"volume": "data", "latency": "200ms"}
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="volume",
            field="volume",
            unit=TEXT,
            doc="name of the volume in the pod",
        ),
        Parameter(
            name="latency",
            field="latency_us",
            unit=DURATION,
            doc="of each request",
            low=1_000,
            high=60_000_000,
        ),
        Parameter(
            name="jitter",
            field="jitter_us",
            unit=DURATION,
            doc="largest random deviation, either way",
            default="0ms",
            low=0,
            high=60_000_000,
        ),
    )

    volume: str
    latency_us: int
    jitter_us: int

    @property
    def severity(self) -> float:
        return min(1.0, self.latency_us / _FULL_SEVERITY_US)

    def contract(self) -> Contract:
        slower = slow(self.latency_us / 1000, some_endpoints=True)
        return towards_users(slower, root=(served(slower),))
