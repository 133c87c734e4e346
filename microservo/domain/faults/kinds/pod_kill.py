"""pod-kill: the instance's pod is deleted at once; its owner makes another one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault
from microservo.domain.faults.registry import register
from microservo.domain.faults.symptoms import failed, gone, towards_users


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class PodKill(Fault):
    """The pod is deleted without grace; what owns it makes another one.

    Recovered when the pod that replaces it is ready; that is another instance of the service.
    """

    kind: ClassVar[str] = "pod-kill"
    mechanisms: ClassVar[tuple[str, ...]] = ("chaos-mesh",)
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
