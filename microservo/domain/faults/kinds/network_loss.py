"""network-loss: a share of the segments that leave the instance is lost, and sent again by TCP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Named, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.shared_parameters import PEER
from microservo.domain.faults.symptoms import delayed
from microservo.domain.faults.units import RATIO

# Linux sends a lost segment again after at least this (TCP_RTO_MIN, include/net/tcp.h).
_RETRANSMISSION_MS = 200.0


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkLoss(Fault):
    """Segments that leave the instance are lost, and sent again.

    What a loss means to the receiver: the segment, and all behind it, comes a retransmission later.
    """

    kind: ClassVar[str] = "network-loss"
    strong: ClassVar[Mapping[str, str]] = {"ratio": "30%"}
    mechanisms: ClassVar[tuple[str, ...]] = ("sidecar", "chaos-mesh")
    names: ClassVar[Mapping[str, Named]] = {"peer": "callers"}
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(name="ratio", field="ratio", unit=RATIO, doc="share of lost segments", low=0.001, high=1),
        PEER,
    )

    ratio: float
    peer: str

    @property
    def severity(self) -> float:
        return self.ratio

    def contract(self) -> Contract:
        return delayed(_RETRANSMISSION_MS, self.ratio, some_endpoints=self.peer != "")
