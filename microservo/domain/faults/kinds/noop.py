"""noop: nothing happens, under a label; the control that shows what labels alone do to a result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault
from microservo.domain.faults.registry import register


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Noop(Fault):
    """Nothing happens, under a label: the control.

    It expects nothing, so its verdict should be ineffective.
    """

    kind: ClassVar[str] = "noop"
    mechanisms: ClassVar[tuple[str, ...]] = ("none",)

    @property
    def severity(self) -> float:
        return 0.0

    def contract(self) -> Contract:
        return Contract()
