"""telemetry-drop: a share of what the instance tells of itself is lost on its way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.shared_parameters import SHARE_OF_RECORDS, SIGNALS
from microservo.domain.faults.symptoms import unheard


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetryDrop(Fault):
    """Records that the instance sends are lost.

    It works as before, and what others measure of it goes on. A detector sees fewer requests, or silence.
    What was lost is on no topic but in the ledger, by its number.
    """

    kind: ClassVar[str] = "telemetry-drop"
    mechanisms: ClassVar[tuple[str, ...]] = ("collector",)
    on_telemetry: ClassVar[bool] = True
    parameters: ClassVar[tuple[Parameter, ...]] = (SHARE_OF_RECORDS, SIGNALS)

    ratio: float
    signals: str

    @property
    def severity(self) -> float:
        return self.ratio

    def contract(self) -> Contract:
        return unheard(self.ratio, self.signals)
