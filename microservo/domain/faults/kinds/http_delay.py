"""http-delay: a share of the requests reaches the instance later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.shared_parameters import ENDPOINT, SHARE_OF_REQUESTS
from microservo.domain.faults.symptoms import delayed
from microservo.domain.faults.units import DURATION

_FULL_SEVERITY_US = 1_000_000


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class HttpDelay(Fault):
    """Requests reach the instance later.

    The wait happens before the instance, so its own spans stay short while its callers' grow.
    """

    kind: ClassVar[str] = "http-delay"
    strong: ClassVar[Mapping[str, str]] = {"delay": "400ms"}
    mechanisms: ClassVar[tuple[str, ...]] = ("sidecar", "chaos-mesh")
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="delay",
            field="delay_us",
            unit=DURATION,
            doc="before each such request",
            low=1_000,
            high=60_000_000,
        ),
        replace(SHARE_OF_REQUESTS, default="100%"),
        ENDPOINT,
    )

    delay_us: int
    ratio: float
    endpoint: str

    @property
    def severity(self) -> float:
        return self.ratio * min(1.0, self.delay_us / _FULL_SEVERITY_US)

    def contract(self) -> Contract:
        return delayed(self.delay_us / 1000, self.ratio, some_endpoints=self.endpoint != "")
