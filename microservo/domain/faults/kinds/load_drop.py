"""load-drop: a share of the users stays away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Need, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.symptoms import fewer, made
from microservo.domain.faults.units import RATIO


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class LoadDrop(Fault):
    """Users stay away, as where a way to the system is broken before it."""

    kind: ClassVar[str] = "load-drop"
    mechanisms: ClassVar[tuple[str, ...]] = ("loadgen",)
    needs: ClassVar[Need] = "users"
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="ratio",
            field="ratio",
            unit=RATIO,
            doc="share of users",
            default="90%",
            low=0.001,
            high=1,
        ),
    )

    ratio: float

    @property
    def severity(self) -> float:
        return self.ratio

    def contract(self) -> Contract:
        missing = fewer(self.ratio)
        calls = (made(missing),)
        return Contract(root=(missing,), callers=calls, users=calls, callees=(missing,))
