"""telemetry-reorder: what the instance tells of itself comes in another order than it was sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.shared_parameters import SIGNALS
from microservo.domain.faults.units import DURATION

_MOST_US = 60_000_000


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetryReorder(Fault):
    """Each record that the instance sends is held back for a random time, so that later ones overtake it.

    Who takes the order of arrival for that of events is misled. Windows go by the time of the event, so
    nothing is measured: what came after the first cut is late in the ledger.
    """

    kind: ClassVar[str] = "telemetry-reorder"
    mechanisms: ClassVar[tuple[str, ...]] = ("collector",)
    on_telemetry: ClassVar[bool] = True
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="within",
            field="within_us",
            unit=DURATION,
            doc="the longest that one is held back",
            default="2s",
            low=1_000,
            high=_MOST_US,
        ),
        SIGNALS,
    )

    within_us: int
    signals: str

    @property
    def severity(self) -> float:
        return self.within_us / _MOST_US

    def contract(self) -> Contract:
        return Contract()
