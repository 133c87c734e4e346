"""cache-failure: the caches of the instance are away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault
from microservo.domain.faults.registry import register
from microservo.domain.faults.symptoms import level, served, slow, towards_users

_ROUND_TRIP_MS = 4.0
"""To the database."""


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class CacheFailure(Fault):
    """The caches of the instance hold nothing, so that every read goes to what is behind them."""

    kind: ClassVar[str] = "cache-failure"
    mechanisms: ClassVar[tuple[str, ...]] = ("workload",)

    @property
    def severity(self) -> float:
        return 1.0

    def contract(self) -> Contract:
        slower = slow(_ROUND_TRIP_MS)
        return towards_users(slower, root=(level("cache.hit_ratio", 0.2, "down"), served(slower)))
