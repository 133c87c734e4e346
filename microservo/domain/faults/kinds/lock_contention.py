"""lock-contention: requests keep a lock of the instance for longer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.symptoms import served, slow, towards_users
from microservo.domain.faults.units import DURATION

_FULL_SEVERITY_US = 1_000_000


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class LockContention(Fault):
    """Each request keeps the lock that all of them need for longer, and others wait.

    Beyond one request per such time the queue only grows, and callers give up.
    """

    kind: ClassVar[str] = "lock-contention"
    mechanisms: ClassVar[tuple[str, ...]] = ("workload",)
    strong: ClassVar[Mapping[str, str]] = {"hold": "100ms"}
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="hold",
            field="hold_us",
            unit=DURATION,
            doc="how much longer",
            default="50ms",
            low=1_000,
            high=10_000_000,
        ),
    )

    hold_us: int

    @property
    def severity(self) -> float:
        return min(1.0, self.hold_us / _FULL_SEVERITY_US)

    def contract(self) -> Contract:
        slower = slow(self.hold_us / 1000)
        return towards_users(slower, root=(served(slower),))
