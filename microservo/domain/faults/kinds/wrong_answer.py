"""wrong-answer: a share of the answers is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.shared_parameters import ENDPOINT, SHARE_OF_REQUESTS


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class WrongAnswer(Fault):
    """Requests are answered in good order with the record of another key.

    Only who reads the answers can know, so nothing of it shows in the telemetry.
    """

    kind: ClassVar[str] = "wrong-answer"
    mechanisms: ClassVar[tuple[str, ...]] = ("workload",)
    parameters: ClassVar[tuple[Parameter, ...]] = (
        SHARE_OF_REQUESTS,
        ENDPOINT,
    )

    ratio: float
    endpoint: str

    @property
    def severity(self) -> float:
        return self.ratio

    def contract(self) -> Contract:
        return Contract()
