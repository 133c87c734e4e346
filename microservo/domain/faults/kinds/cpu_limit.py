"""cpu-limit: the instance may use a part of its core only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.symptoms import level, slow, towards_users
from microservo.domain.faults.units import RATIO

_PERIOD_MS = 100.0
"""Who is throttled waits for the next period of this length."""


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class CpuLimit(Fault):
    """The instance is throttled beyond a part of its core, a tenth of a second at a time.

    It shows where the instance needs more than that.
    """

    kind: ClassVar[str] = "cpu-limit"
    mechanisms: ClassVar[tuple[str, ...]] = ("workload",)
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="cores",
            field="cores",
            unit=RATIO,
            doc="of its core that it may use",
            default="5%",
            low=0.01,
            high=1,
        ),
    )

    cores: float

    @property
    def severity(self) -> float:
        return 1.0 - self.cores

    def contract(self) -> Contract:
        slower = slow(_PERIOD_MS / 2, 0.4)
        # Who waits has mostly not been read yet, so that it shows outside.
        return towards_users(slower, root=(level("network.request.duration.p99", slower.least),))
