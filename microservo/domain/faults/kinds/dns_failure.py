"""dns-failure: the instance finds no addresses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.symptoms import failed, served, towards_users
from microservo.domain.faults.units import TEXT

_SHARE = 0.3
"""Of the requests, those that open a connection; how many that are is not known beforehand."""


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class DnsFailure(Fault):
    """Names that the instance looks up are answered with an error.

    Connections that are open already go on.
    """

    kind: ClassVar[str] = "dns-failure"
    mechanisms: ClassVar[tuple[str, ...]] = ("chaos-mesh",)
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="name",
            field="name",
            unit=TEXT,
            doc="only this name; empty: all",
            default="",
        ),
    )

    name: str

    @property
    def severity(self) -> float:
        return 1.0

    def contract(self) -> Contract:
        lost = failed(_SHARE, some_endpoints=self.name != "")
        return towards_users(lost, root=(served(lost),))
