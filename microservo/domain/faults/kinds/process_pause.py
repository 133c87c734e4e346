"""process-pause: the instance's process stands still (SIGSTOP) until it is let go on (SIGCONT)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault
from microservo.domain.faults.registry import register
from microservo.domain.faults.symptoms import failed, fewer, level, slow, towards_users


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessPause(Fault):
    """The process stands still (SIGSTOP), and callers wait.

    The kernel still accepts connections, but nothing answers, so that callers time out.
    """

    kind: ClassVar[str] = "process-pause"
    mechanisms: ClassVar[tuple[str, ...]] = ("process",)

    @property
    def severity(self) -> float:
        return 1.0

    def contract(self) -> Contract:
        return towards_users(
            failed(0.25), slow(300.0, 0.5), root=(fewer(1.0), level("network.requests.active", 1.0))
        )
