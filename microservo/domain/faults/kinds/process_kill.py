"""process-kill: the instance's process ends at once (SIGKILL); its supervisor brings it back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault
from microservo.domain.faults.registry import register
from microservo.domain.faults.symptoms import failed, gone, towards_users


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessKill(Fault):
    """The process ends at once (SIGKILL); its supervisor brings it back.

    Applied when the process is gone, recovered when the one that replaces it is healthy.
    """

    kind: ClassVar[str] = "process-kill"
    mechanisms: ClassVar[tuple[str, ...]] = ("process", "chaos-mesh")
    shows_idle: ClassVar[bool] = True
    one_shot: ClassVar[bool] = True

    @property
    def severity(self) -> float:
        return 1.0

    def contract(self) -> Contract:
        return towards_users(
            failed(0.5),
            root=(gone("service.downtime", 0.05), gone("service.instances.running", 0.5, "down")),
        )
