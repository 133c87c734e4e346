"""telemetry-duplicate: a share of what the instance tells of itself comes twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.shared_parameters import SHARE_OF_RECORDS, SIGNALS


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetryDuplicate(Fault):
    """Records that the instance sends come twice, with the same ids.

    Who counts what comes sees twice as many. Windows count each id once, so nothing shows in them and nothing
    is measured: the second ones are duplicates in the ledger.
    """

    kind: ClassVar[str] = "telemetry-duplicate"
    mechanisms: ClassVar[tuple[str, ...]] = ("collector",)
    on_telemetry: ClassVar[bool] = True
    parameters: ClassVar[tuple[Parameter, ...]] = (SHARE_OF_RECORDS, SIGNALS)

    ratio: float
    signals: str

    @property
    def severity(self) -> float:
        return self.ratio

    def contract(self) -> Contract:
        return Contract()
