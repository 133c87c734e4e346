"""http-abort: a share of the requests is answered with an error status, and never reaches the instance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.shared_parameters import ENDPOINT, SHARE_OF_REQUESTS
from microservo.domain.faults.symptoms import answers, failed, fewer, towards_users
from microservo.domain.faults.units import COUNT


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAbort(Fault):
    """Requests are answered with an error status and never reach the instance.

    Callers' spans are errors from 500 on; a 4xx shows only in the requests that the instance misses.
    """

    kind: ClassVar[str] = "http-abort"
    mechanisms: ClassVar[tuple[str, ...]] = ("sidecar",)
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="status",
            field="status",
            unit=COUNT,
            doc="HTTP status of the answer",
            default="503",
            low=400,
            high=599,
        ),
        SHARE_OF_REQUESTS,
        ENDPOINT,
    )

    status: int
    ratio: float
    endpoint: str

    @property
    def severity(self) -> float:
        return self.ratio

    def contract(self) -> Contract:
        if self.status < 500:
            # Callers take the answer for one: their calls don't fail, and that is measured.
            return towards_users(failed(self.ratio), root=(answers("4xx"), fewer(self.ratio)))
        failing = failed(self.ratio, some_endpoints=self.endpoint != "")
        return towards_users(failing, root=(answers("5xx"), fewer(self.ratio)))
