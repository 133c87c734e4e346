"""slow-close: the end of each answer, and of each connection, comes late."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.symptoms import delayed
from microservo.domain.faults.units import DURATION

_FULL_SEVERITY_US = 1_000_000


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class SlowClose(Fault):
    """The last byte of each answer comes late, and so does the end of a connection.

    The instance's own spans are as ever, and its answers begin in time; its callers wait for their end.
    """

    kind: ClassVar[str] = "slow-close"
    mechanisms: ClassVar[tuple[str, ...]] = ("sidecar",)
    strong: ClassVar[Mapping[str, str]] = {"delay": "400ms"}
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="delay",
            field="delay_us",
            unit=DURATION,
            doc="before the last byte",
            low=1_000,
            high=60_000_000,
        ),
    )

    delay_us: int

    @property
    def severity(self) -> float:
        return min(1.0, self.delay_us / _FULL_SEVERITY_US)

    def contract(self) -> Contract:
        return delayed(self.delay_us / 1000)
