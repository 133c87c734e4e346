"""port-refuse: nothing listens on the instance's port."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault
from microservo.domain.faults.registry import register
from microservo.domain.faults.symptoms import failed, fewer, towards_users


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class PortRefuse(Fault):
    """The port of the instance is closed, and its connections are reset.

    It runs as before, and nobody reaches it.
    """

    kind: ClassVar[str] = "port-refuse"
    mechanisms: ClassVar[tuple[str, ...]] = ("sidecar",)

    @property
    def severity(self) -> float:
        return 1.0

    def contract(self) -> Contract:
        return towards_users(failed(1.0), root=(fewer(1.0),))
