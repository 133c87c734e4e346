"""clock-skew: the instance's clock is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.symptoms import failed, fewer, towards_users
from microservo.domain.faults.units import DURATION

_FULL_SEVERITY_US = 3_600_000_000
_SHARE = 0.1
"""Of the calls, those that are refused for their time; how many that are is not known beforehand."""


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class ClockSkew(Fault):
    """The clock that the instance reads is ahead of the true one, or behind it for a negative offset.

    Its telemetry has wrong times then, so that the collector drops what lies too far from now.
    """

    kind: ClassVar[str] = "clock-skew"
    mechanisms: ClassVar[tuple[str, ...]] = ("workload", "chaos-mesh")
    strong: ClassVar[Mapping[str, str]] = {"offset": "-10min"}
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="offset",
            field="offset_us",
            unit=DURATION,
            doc="how far ahead",
            low=-86_400_000_000,
            high=86_400_000_000,
        ),
    )

    offset_us: int

    @property
    def severity(self) -> float:
        return min(1.0, abs(self.offset_us) / _FULL_SEVERITY_US)

    def contract(self) -> Contract:
        return towards_users(failed(_SHARE), root=(fewer(1.0),))
