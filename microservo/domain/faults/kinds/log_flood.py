"""log-flood: each request logs many lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.symptoms import served, slow, towards_users
from microservo.domain.faults.units import COUNT

_LINE_MS = 0.05


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class LogFlood(Fault):
    """Each request logs many lines more, as with a level for debugging that was left on.

    The lines themselves are no measure; the time that they take is.
    """

    kind: ClassVar[str] = "log-flood"
    mechanisms: ClassVar[tuple[str, ...]] = ("workload",)
    strong: ClassVar[Mapping[str, str]] = {"lines": "200"}
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="lines",
            field="lines",
            unit=COUNT,
            doc="by each request",
            default="100",
            low=1,
            high=500,
        ),
    )

    lines: int

    @property
    def severity(self) -> float:
        return self.lines / 500

    def contract(self) -> Contract:
        slower = slow(_LINE_MS * self.lines)
        return towards_users(slower, root=(served(slower),))
