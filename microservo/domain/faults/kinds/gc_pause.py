"""gc-pause: the instance stops again and again for a moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.symptoms import level, slow, towards_users
from microservo.domain.faults.units import DURATION

_BUSY = 0.1
"""What takes less of the processor is not looked for."""


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class GcPause(Fault):
    """The process stops again and again, as while all of its garbage is collected.

    It computes meanwhile, and no request goes on.
    """

    kind: ClassVar[str] = "gc-pause"
    mechanisms: ClassVar[tuple[str, ...]] = ("workload",)
    strong: ClassVar[Mapping[str, str]] = {"pause": "300ms", "interval": "500ms"}
    shows_idle: ClassVar[bool] = True
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="pause",
            field="pause_us",
            unit=DURATION,
            doc="each",
            default="200ms",
            low=1_000,
            high=2_000_000,
        ),
        Parameter(
            name="interval",
            field="interval_us",
            unit=DURATION,
            doc="between two of them",
            default="1s",
            low=50_000,
            high=60_000_000,
        ),
    )

    pause_us: int
    interval_us: int

    @property
    def severity(self) -> float:
        return self._share

    def contract(self) -> Contract:
        slower = slow(self.pause_us / 2000, self._share)
        busy = (level("process.cpu.utilization", 0.5 * self._share),) if self._share >= _BUSY else ()
        # Who waits has mostly not been read yet, so that it shows outside.
        longest = level("network.request.duration.p99", slower.least)
        return towards_users(slower, root=(longest, *busy))

    @property
    def _share(self) -> float:
        """Of its time that it stands still."""
        return self.pause_us / (self.pause_us + self.interval_us)
