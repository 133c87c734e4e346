"""cache-penetration: requests ask for what no cache holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.shared_parameters import SHARE_OF_REQUESTS
from microservo.domain.faults.symptoms import level, served, slow, towards_users

_ROUND_TRIP_MS = 4.0
"""To the database."""


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class CachePenetration(Fault):
    """Requests are about keys that don't exist, so that no cache can answer for them.

    What the instance calls for them is asked for the same keys.
    """

    kind: ClassVar[str] = "cache-penetration"
    mechanisms: ClassVar[tuple[str, ...]] = ("workload",)
    strong: ClassVar[Mapping[str, str]] = {"ratio": "80%"}
    parameters: ClassVar[tuple[Parameter, ...]] = (SHARE_OF_REQUESTS,)

    ratio: float

    @property
    def severity(self) -> float:
        return self.ratio

    def contract(self) -> Contract:
        slower = slow(_ROUND_TRIP_MS, self.ratio)
        return towards_users(
            slower, root=(level("cache.hit_ratio", 0.2 * self.ratio, "down"), served(slower))
        )
