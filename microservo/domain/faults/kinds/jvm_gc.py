"""jvm-gc: a Java program collects its garbage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault
from microservo.domain.faults.registry import register
from microservo.domain.faults.symptoms import served, slow, towards_users


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class JvmGc(Fault):
    """A Java program collects all its garbage once, and does nothing else meanwhile."""

    kind: ClassVar[str] = "jvm-gc"
    mechanisms: ClassVar[tuple[str, ...]] = ("chaos-mesh",)
    one_shot: ClassVar[bool] = True

    @property
    def severity(self) -> float:
        return 0.2

    def contract(self) -> Contract:
        slower = slow(20.0, 0.1)
        return towards_users(slower, root=(served(slower),))
