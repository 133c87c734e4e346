"""bad-deploy: a version of the service that is slower and fails is deployed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.shared_parameters import SHARE_OF_REQUESTS
from microservo.domain.faults.symptoms import failed, served, slow, towards_users
from microservo.domain.faults.units import DURATION

_FULL_SEVERITY_US = 1_000_000


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class BadDeploy(Fault):
    """A version that is slower and fails takes over, until the one before is deployed again.

    What it tells of itself bears its `service.version`, as with every deployment.
    """

    kind: ClassVar[str] = "bad-deploy"
    mechanisms: ClassVar[tuple[str, ...]] = ("workload",)
    strong: ClassVar[Mapping[str, str]] = {"latency": "200ms", "ratio": "30%"}
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="latency",
            field="latency_us",
            unit=DURATION,
            doc="that each request takes longer",
            default="50ms",
            low=0,
            high=60_000_000,
        ),
        replace(SHARE_OF_REQUESTS, doc="share of requests that fail", default="10%", low=0),
    )

    latency_us: int
    ratio: float

    @property
    def severity(self) -> float:
        return max(self.ratio, min(1.0, self.latency_us / _FULL_SEVERITY_US))

    def contract(self) -> Contract:
        measures = [slow(self.latency_us / 1000)] if self.latency_us else []
        measures += [failed(self.ratio)] if self.ratio else []
        return towards_users(*measures, root=tuple(map(served, measures))) if measures else Contract()
