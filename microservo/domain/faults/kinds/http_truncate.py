"""http-truncate: a share of the answers ends before it is complete."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.shared_parameters import SHARE_OF_REQUESTS
from microservo.domain.faults.symptoms import failed, reconnected, towards_users
from microservo.domain.faults.units import SIZE


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class HttpTruncate(Fault):
    """The connection is closed after so many bytes of the answer's body.

    The instance has done its work, so its own spans are as ever; its callers have an answer that is not
    whole, and need another connection.
    """

    kind: ClassVar[str] = "http-truncate"
    mechanisms: ClassVar[tuple[str, ...]] = ("sidecar",)
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="after",
            field="after_bytes",
            unit=SIZE,
            doc="bytes that still come",
            default="0B",
            low=0,
            high=2**20,
        ),
        SHARE_OF_REQUESTS,
    )

    after_bytes: int
    ratio: float

    @property
    def severity(self) -> float:
        return self.ratio

    def contract(self) -> Contract:
        return towards_users(failed(self.ratio), root=(reconnected(),))
