"""network-delay: whatever leaves the instance takes longer to arrive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Named, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.shared_parameters import PEER
from microservo.domain.faults.symptoms import delayed
from microservo.domain.faults.units import DURATION

_FULL_SEVERITY_US = 1_000_000
_MOST_US = 60_000_000


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkDelay(Fault):
    """What leaves the instance takes longer, by latency ± jitter.

    The jitter is uniform, and the delay of a segment never below zero.
    """

    kind: ClassVar[str] = "network-delay"
    strong: ClassVar[Mapping[str, str]] = {"latency": "300ms", "jitter": "50ms"}
    mechanisms: ClassVar[tuple[str, ...]] = ("sidecar", "chaos-mesh")
    names: ClassVar[Mapping[str, Named]] = {"peer": "callers"}
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="latency",
            field="latency_us",
            unit=DURATION,
            doc="added to each segment",
            low=1_000,
            high=_MOST_US,
        ),
        Parameter(
            name="jitter",
            field="jitter_us",
            unit=DURATION,
            doc="largest random deviation, either way",
            default="0ms",
            low=0,
            high=_MOST_US,
        ),
        PEER,
    )

    latency_us: int
    jitter_us: int
    peer: str

    @property
    def severity(self) -> float:
        return min(1.0, self.latency_us / _FULL_SEVERITY_US)

    def contract(self) -> Contract:
        return delayed(self.latency_us / 1000, some_endpoints=self.peer != "")
