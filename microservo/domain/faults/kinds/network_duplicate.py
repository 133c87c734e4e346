"""network-duplicate: packets that leave the instance are sent twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.symptoms import delayed
from microservo.domain.faults.units import RATIO

_LEAST_MS = 3.0
"""A copy takes its place in the queue, and little more."""


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkDuplicate(Fault):
    """Packets that leave the instance are sent twice.

    TCP drops the copies, so what shows is small: traffic, and now and then a retransmission.
    """

    kind: ClassVar[str] = "network-duplicate"
    mechanisms: ClassVar[tuple[str, ...]] = ("chaos-mesh",)
    strong: ClassVar[Mapping[str, str]] = {"ratio": "50%"}
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="ratio",
            field="ratio",
            unit=RATIO,
            doc="share of doubled packets",
            low=0.001,
            high=1,
        ),
    )

    ratio: float

    @property
    def severity(self) -> float:
        return self.ratio / 2

    def contract(self) -> Contract:
        return delayed(_LEAST_MS, self.ratio)
