"""thread-leak: each request leaves a thread behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.symptoms import at_root, level
from microservo.domain.faults.units import COUNT

_FULL_SEVERITY = 1000
_LEAST = 4.0
"""As many as some seconds of little load leave behind."""


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadLeak(Fault):
    """Each request leaves a thread behind that waits for ever.

    They end with the fault.
    """

    kind: ClassVar[str] = "thread-leak"
    mechanisms: ClassVar[tuple[str, ...]] = ("workload",)
    stays_local: ClassVar[bool] = True
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="most",
            field="most",
            unit=COUNT,
            doc="threads in all",
            default="200",
            low=1,
            high=1000,
        ),
    )

    most: int

    @property
    def severity(self) -> float:
        return min(1.0, self.most / _FULL_SEVERITY)

    def contract(self) -> Contract:
        return at_root(level("process.threads", min(_LEAST, 0.5 * self.most)))
