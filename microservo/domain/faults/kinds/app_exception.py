"""app-exception: the instance's own code raises on a share of the requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.shared_parameters import ENDPOINT, SHARE_OF_REQUESTS
from microservo.domain.faults.symptoms import failed, served, towards_users


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class AppException(Fault):
    """The instance's own code raises on requests.

    Such a request is answered 500, its span is an error, and the log has the stack trace.
    """

    kind: ClassVar[str] = "app-exception"
    mechanisms: ClassVar[tuple[str, ...]] = ("workload",)
    parameters: ClassVar[tuple[Parameter, ...]] = (SHARE_OF_REQUESTS, ENDPOINT)

    ratio: float
    endpoint: str

    @property
    def severity(self) -> float:
        return self.ratio

    def contract(self) -> Contract:
        failing = failed(self.ratio, some_endpoints=self.endpoint != "")
        return towards_users(failing, root=(served(failing),))
