"""network-partition: nothing passes between the instance and another service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Named, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.symptoms import cut_off
from microservo.domain.faults.units import TEXT

_SHARE = 0.3
"""Of the requests, those that need the other side; how many that are is not known beforehand."""


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkPartition(Fault):
    """No packet passes between the instance and the instances of another service, either way."""

    kind: ClassVar[str] = "network-partition"
    mechanisms: ClassVar[tuple[str, ...]] = ("network", "chaos-mesh")
    names: ClassVar[Mapping[str, Named]] = {"peer": "neighbours"}
    strong: ClassVar[Mapping[str, str]] = {"peer": "back"}
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="peer",
            field="peer",
            unit=TEXT,
            doc="service on the other side",
        ),
    )

    peer: str

    @property
    def severity(self) -> float:
        return 1.0

    def contract(self) -> Contract:
        return cut_off(_SHARE)
