"""telemetry-delay: what the instance tells of itself comes later than it was sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.shared_parameters import SIGNALS
from microservo.domain.faults.units import DURATION

_MOST_US = 120_000_000


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetryDelay(Fault):
    """Records that the instance sends are held back for a while.

    A detector that does not wait sees silence. By the time they were made nothing is missing in the end, so
    nothing is measured: those that come before the final cut are late in the ledger, the others dropped.
    """

    kind: ClassVar[str] = "telemetry-delay"
    mechanisms: ClassVar[tuple[str, ...]] = ("collector",)
    on_telemetry: ClassVar[bool] = True
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="delay",
            field="delay_us",
            unit=DURATION,
            doc="how long they are held back",
            default="10s",
            low=1000,
            high=_MOST_US,
        ),
        SIGNALS,
    )

    delay_us: int
    signals: str

    @property
    def severity(self) -> float:
        return self.delay_us / _MOST_US

    def contract(self) -> Contract:
        return Contract()
