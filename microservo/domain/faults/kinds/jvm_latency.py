"""jvm-latency: a Java method takes longer."""

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
class JvmLatency(Fault):
    """A method of a Java program takes longer each time it is called."""

    kind: ClassVar[str] = "jvm-latency"
    mechanisms: ClassVar[tuple[str, ...]] = ("chaos-mesh",)
    strong: ClassVar[Mapping[str, str]] = {"class": "Main", "method": "handle", "latency": "300ms"}
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="class",
            field="class_name",
            unit=TEXT,
            doc="with its package",
        ),
        Parameter(
            name="method",
            field="method",
            unit=TEXT,
            doc="name of the method",
        ),
        Parameter(
            name="latency",
            field="latency_us",
            unit=DURATION,
            doc="in whole milliseconds",
            low=1_000,
            high=60_000_000,
        ),
    )

    class_name: str
    method: str
    latency_us: int

    @property
    def severity(self) -> float:
        return min(1.0, self.latency_us / _FULL_SEVERITY_US)

    def contract(self) -> Contract:
        slower = slow(self.latency_us / 1000, some_endpoints=True)
        return towards_users(slower, root=(served(slower),))
