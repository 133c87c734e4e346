"""deadlock: a lock of the instance is held for good."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault
from microservo.domain.faults.registry import register
from microservo.domain.faults.symptoms import failed, fewer, level, slow, towards_users


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlock(Fault):
    """The lock that every request needs is held for good, and callers wait.

    The process looks alive: its health check answers.
    """

    kind: ClassVar[str] = "deadlock"
    mechanisms: ClassVar[tuple[str, ...]] = ("workload",)

    @property
    def severity(self) -> float:
        return 1.0

    def contract(self) -> Contract:
        return towards_users(
            failed(0.25), slow(300.0, 0.5), root=(fewer(1.0), level("http.server.active_requests", 1.0))
        )
