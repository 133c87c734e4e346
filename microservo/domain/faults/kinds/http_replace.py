"""http-replace: the instance's answers have another status."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.shared_parameters import ENDPOINT
from microservo.domain.faults.symptoms import answers, failed, towards_users
from microservo.domain.faults.units import COUNT


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class HttpReplace(Fault):
    """Requests reach the instance, and its answers leave it with another status.

    Its own spans are as ever, those of its callers are errors from 500 on.
    """

    kind: ClassVar[str] = "http-replace"
    mechanisms: ClassVar[tuple[str, ...]] = ("sidecar", "chaos-mesh")
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="status",
            field="status",
            unit=COUNT,
            doc="HTTP status of the answer",
            default="503",
            low=200,
            high=599,
        ),
        ENDPOINT,
    )

    status: int
    endpoint: str

    @property
    def severity(self) -> float:
        return 1.0

    def contract(self) -> Contract:
        failing = failed(1.0, some_endpoints=self.endpoint != "")
        return towards_users(failing, root=(answers("5xx" if self.status >= 500 else "4xx"),))
