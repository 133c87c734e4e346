"""connection-abort: each HTTP connection is closed before the instance gets the request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.shared_parameters import ENDPOINT
from microservo.domain.faults.symptoms import failed, fewer, towards_users


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionAbort(Fault):
    """Requests over HTTP find their connection closed.

    None of them reaches the instance.
    """

    kind: ClassVar[str] = "connection-abort"
    mechanisms: ClassVar[tuple[str, ...]] = ("sidecar", "chaos-mesh")
    parameters: ClassVar[tuple[Parameter, ...]] = (ENDPOINT,)

    endpoint: str

    @property
    def severity(self) -> float:
        return 1.0

    def contract(self) -> Contract:
        return towards_users(failed(1.0, some_endpoints=self.endpoint != ""), root=(fewer(1.0),))
