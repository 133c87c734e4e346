"""oom-kill: the instance takes more memory than it may have, and is killed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.symptoms import failed, gone, towards_users
from microservo.domain.faults.units import SIZE


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class OomKill(Fault):
    """Memory grows within a moment by a size, and the process is killed (SIGKILL) for it.

    Applied when the process is gone, recovered when the one that replaces it is healthy.
    """

    kind: ClassVar[str] = "oom-kill"
    mechanisms: ClassVar[tuple[str, ...]] = ("process",)
    shows_idle: ClassVar[bool] = True
    one_shot: ClassVar[bool] = True
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="size",
            field="bytes",
            unit=SIZE,
            doc="taken before the end",
            default="128MiB",
            low=2**20,
            high=16 * 2**30,
        ),
    )

    bytes: int

    @property
    def severity(self) -> float:
        return 1.0

    def contract(self) -> Contract:
        return towards_users(
            failed(0.5),
            root=(gone("service.downtime", 0.05), gone("service.instances.running", 0.5, "down")),
        )
