"""retry-storm: the instance calls again at once what fails or takes a little long, many times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Named, Need, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.shared_parameters import CALLEE
from microservo.domain.faults.symptoms import failed, more, served, towards_users
from microservo.domain.faults.units import COUNT, DURATION

_SHARE = 0.3
"""Of the requests, those that make a call which is too slow for that; not known beforehand."""
_FULL_SEVERITY_RETRIES = 10


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class RetryStorm(Fault):
    """The instance gives up calls early and makes them again at once, many times, without a budget.

    The root cause is who calls so. What it calls has a multiple of the requests, and answers many that nobody
    waits for; where a call takes longer than that whenever it is made, it fails.
    """

    kind: ClassVar[str] = "retry-storm"
    mechanisms: ClassVar[tuple[str, ...]] = ("workload",)
    needs: ClassVar[Need] = "callees"
    names: ClassVar[Mapping[str, Named]] = {"peer": "callees"}
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="retries",
            field="retries",
            unit=COUNT,
            doc="of a call that fails or is given up",
            default="8",
            low=1,
            high=50,
        ),
        Parameter(
            name="after",
            field="after_us",
            unit=DURATION,
            doc="how long it waits for an answer",
            default="3ms",
            low=1_000,
            high=60_000_000,
        ),
        CALLEE,
    )

    retries: int
    after_us: int
    peer: str

    @property
    def severity(self) -> float:
        return min(1.0, self.retries / _FULL_SEVERITY_RETRIES)

    def contract(self) -> Contract:
        lost = failed(_SHARE, some_endpoints=self.peer != "")
        return towards_users(lost, root=(served(lost),), callees=(more(1.0),))
