"""connection-limit: the instance takes no more than so many connections at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.symptoms import failed, refused, towards_users
from microservo.domain.faults.units import COUNT

_SHARE = 0.3
"""Of the calls, those that find no connection; how many that are depends on how many callers there are."""


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimit(Fault):
    """Connections beyond a limit are reset, those that are open when it begins as well.

    Whoever has one of the others keeps it: with few callers who keep theirs it hardly shows.
    """

    kind: ClassVar[str] = "connection-limit"
    mechanisms: ClassVar[tuple[str, ...]] = ("sidecar",)
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="connections",
            field="connections",
            unit=COUNT,
            doc="at once",
            default="1",
            low=1,
            high=10_000,
        ),
    )

    connections: int

    @property
    def severity(self) -> float:
        return 1 / self.connections

    def contract(self) -> Contract:
        return towards_users(failed(_SHARE), root=(refused(),))
