"""host-down: the host of the instance fails, and all that runs there ends."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault
from microservo.domain.faults.registry import register
from microservo.domain.faults.symptoms import failed, gone, towards_users


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class HostDown(Fault):
    """The host of the instance is down: its containers end at once, and nobody reaches it.

    At the end of the fault it starts again, empty. A manager launches elsewhere meanwhile what was there.
    """

    kind: ClassVar[str] = "host-down"
    mechanisms: ClassVar[tuple[str, ...]] = ("hosts",)
    acts_on_host: ClassVar[bool] = True
    shows_idle: ClassVar[bool] = True

    @property
    def severity(self) -> float:
        return 1.0

    def contract(self) -> Contract:
        fewer_run = gone("service.instances.running", 0.5, "down")
        found = towards_users(failed(0.5), root=(gone("service.downtime", 0.05), fewer_run))
        return replace(found, neighbours=(fewer_run,))
