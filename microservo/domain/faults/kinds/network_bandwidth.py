"""network-bandwidth: the instance's link carries fewer bytes per second."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Named, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.shared_parameters import PEER
from microservo.domain.faults.symptoms import delayed
from microservo.domain.faults.units import RATE

# 100 kbit/s: where an answer of a few kilobytes takes a good part of a second.
_HALF_SEVERITY_BYTES_PER_S = 12_500
# A small answer with its headers; what it takes longer must show. Below 6 ms lies a busy machine's noise.
_ANSWER_BYTES = 600
_NOISE_MS = 6.0


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkBandwidth(Fault):
    """The instance's link carries fewer bytes per second.

    One link for all connections of the instance, first come, first served; only what leaves it counts.
    """

    kind: ClassVar[str] = "network-bandwidth"
    strong: ClassVar[Mapping[str, str]] = {"rate": "32kbit/s"}
    mechanisms: ClassVar[tuple[str, ...]] = ("sidecar", "chaos-mesh")
    names: ClassVar[Mapping[str, Named]] = {"peer": "callers"}
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="rate",
            field="bytes_per_s",
            unit=RATE,
            doc="what the link carries",
            low=125,
            high=1_250_000_000,
        ),
        PEER,
    )

    bytes_per_s: int
    peer: str

    @property
    def severity(self) -> float:
        return _HALF_SEVERITY_BYTES_PER_S / (_HALF_SEVERITY_BYTES_PER_S + self.bytes_per_s)

    def contract(self) -> Contract:
        late_ms = max(_NOISE_MS, 1000 * _ANSWER_BYTES / self.bytes_per_s)
        return delayed(late_ms, some_endpoints=self.peer != "")
