"""load-spike: a multiple of the users comes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Need, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.symptoms import made, more, requested
from microservo.domain.faults.units import COUNT


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSpike(Fault):
    """So many times as many users come, and each of them asks what users ask.

    Whether anything gets slower or fails is up to the target; what is sure to show is the load, from service
    to service.
    """

    kind: ClassVar[str] = "load-spike"
    mechanisms: ClassVar[tuple[str, ...]] = ("loadgen",)
    needs: ClassVar[Need] = "users"
    strong: ClassVar[Mapping[str, str]] = {"times": "4"}
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="times",
            field="times",
            unit=COUNT,
            doc="as many journeys of users as before",
            default="3",
            low=2,
            high=50,
        ),
    )

    times: int

    @property
    def severity(self) -> float:
        return 1 - 1 / self.times

    def contract(self) -> Contract:
        calls, seen = (made(more(self.times - 1.0)),), (requested(self.times),)
        return Contract(root=seen, callers=calls, users=calls, callees=seen)
