"""network-corrupt: packets that leave the instance have wrong bits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.symptoms import delayed
from microservo.domain.faults.units import RATIO

_RETRANSMISSION_MS = 200.0
"""Least timeout of TCP on Linux."""


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkCorrupt(Fault):
    """A bit is turned over in packets that leave the instance.

    A wrong checksum makes the receiver drop them, so that they are sent again, as after a loss.
    """

    kind: ClassVar[str] = "network-corrupt"
    mechanisms: ClassVar[tuple[str, ...]] = ("sidecar", "chaos-mesh")
    strong: ClassVar[Mapping[str, str]] = {"ratio": "30%"}
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="ratio",
            field="ratio",
            unit=RATIO,
            doc="share of damaged packets",
            low=0.001,
            high=1,
        ),
    )

    ratio: float

    @property
    def severity(self) -> float:
        return self.ratio

    def contract(self) -> Contract:
        return delayed(_RETRANSMISSION_MS, self.ratio)
