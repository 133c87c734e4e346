"""connection-reset: a share of the requests finds its connection reset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.shared_parameters import SHARE_OF_REQUESTS
from microservo.domain.faults.symptoms import failed, fewer, resets, towards_users


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionReset(Fault):
    """Requests find their connection reset (RST).

    Such a request never reaches the instance.
    """

    kind: ClassVar[str] = "connection-reset"
    mechanisms: ClassVar[tuple[str, ...]] = ("sidecar",)
    parameters: ClassVar[tuple[Parameter, ...]] = (SHARE_OF_REQUESTS,)

    ratio: float

    @property
    def severity(self) -> float:
        return self.ratio

    def contract(self) -> Contract:
        return towards_users(failed(self.ratio), root=(resets(), fewer(self.ratio)))
