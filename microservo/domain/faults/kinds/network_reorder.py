"""network-reorder: packets that leave the instance overtake each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.symptoms import delayed
from microservo.domain.faults.units import COUNT, DURATION, RATIO

_FULL_SEVERITY_US = 1_000_000


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkReorder(Fault):
    """Packets that leave the instance are late, but for a share that is sent at once and overtakes."""

    kind: ClassVar[str] = "network-reorder"
    mechanisms: ClassVar[tuple[str, ...]] = ("sidecar", "chaos-mesh")
    strong: ClassVar[Mapping[str, str]] = {"latency": "300ms"}
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="latency",
            field="latency_us",
            unit=DURATION,
            doc="of those that are overtaken",
            low=1_000,
            high=60_000_000,
        ),
        Parameter(
            name="ratio",
            field="ratio",
            unit=RATIO,
            doc="share of packets that overtake",
            default="25%",
            low=0.001,
            high=1,
        ),
        Parameter(
            name="gap",
            field="gap",
            unit=COUNT,
            doc="one in so many may overtake",
            default="5",
            low=1,
            high=1000,
        ),
    )

    latency_us: int
    ratio: float
    gap: int

    @property
    def severity(self) -> float:
        return min(1.0, self.latency_us / _FULL_SEVERITY_US)

    def contract(self) -> Contract:
        return delayed(self.latency_us / 1000, 1 - self.ratio)
