"""dns-delay: the instance waits for the addresses of what it calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Named, Need, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.shared_parameters import LOOKED_UP
from microservo.domain.faults.symptoms import served, slow, towards_users
from microservo.domain.faults.units import DURATION

_FULL_SEVERITY_US = 1_000_000
_SHARE = 0.5
"""Of the requests, those that make a call; how many that are is not known beforehand."""


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class DnsDelay(Fault):
    """Names that the instance looks up are answered late.

    It looks one up before each call, as who balances its calls itself does; the wait counts against the
    call's time limit.
    """

    kind: ClassVar[str] = "dns-delay"
    mechanisms: ClassVar[tuple[str, ...]] = ("workload",)
    needs: ClassVar[Need] = "callees"
    names: ClassVar[Mapping[str, Named]] = {"name": "callees"}
    strong: ClassVar[Mapping[str, str]] = {"delay": "150ms"}
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="delay",
            field="delay_us",
            unit=DURATION,
            doc="before each answer of the resolver",
            low=1_000,
            high=60_000_000,
        ),
        LOOKED_UP,
    )

    delay_us: int
    name: str

    @property
    def severity(self) -> float:
        return min(1.0, self.delay_us / _FULL_SEVERITY_US)

    def contract(self) -> Contract:
        slower = slow(self.delay_us / 1000, _SHARE, some_endpoints=self.name != "")
        return towards_users(slower, root=(served(slower),))
