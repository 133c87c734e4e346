"""jvm-memory-hog: a Java program fills its heap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault
from microservo.domain.faults.registry import register
from microservo.domain.faults.symptoms import STARVED, USERS, fewer, level, served, slow


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class JvmMemoryHog(Fault):
    """A Java program fills its heap until it is out of memory."""

    kind: ClassVar[str] = "jvm-memory-hog"
    mechanisms: ClassVar[tuple[str, ...]] = ("chaos-mesh",)
    acts_on_host: ClassVar[bool] = True
    shows_idle: ClassVar[bool] = True
    stays_local: ClassVar[bool] = True

    @property
    def severity(self) -> float:
        return 1.0

    def contract(self) -> Contract:
        slower = slow(10.0, 0.4)
        return Contract(
            root=(level("process.memory.usage", 16 * 2**20), served(slower)),
            callers=(slower,),
            users=(slower.diluted(USERS),),
            callees=(fewer(STARVED),),
            neighbours=(served(slower),),
        )
