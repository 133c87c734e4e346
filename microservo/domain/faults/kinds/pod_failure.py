"""pod-failure: the instance's containers do nothing until it ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault
from microservo.domain.faults.registry import register
from microservo.domain.faults.symptoms import failed, gone, towards_users


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class PodFailure(Fault):
    """The images of the pod's containers are replaced by one that does nothing.

    They are started once more at the end, so that the service needs its time to get ready.
    """

    kind: ClassVar[str] = "pod-failure"
    mechanisms: ClassVar[tuple[str, ...]] = ("chaos-mesh",)
    shows_idle: ClassVar[bool] = True

    @property
    def severity(self) -> float:
        return 1.0

    def contract(self) -> Contract:
        return towards_users(
            failed(0.5),
            root=(gone("service.downtime", 0.05), gone("service.instances.running", 0.5, "down")),
        )
