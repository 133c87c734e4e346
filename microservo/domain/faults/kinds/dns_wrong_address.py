"""dns-wrong-address: the instance finds wrong addresses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Named, Need, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.shared_parameters import LOOKED_UP
from microservo.domain.faults.symptoms import failed, served, towards_users

_SHARE = 0.3
"""Of the requests, those that open a connection; how many that are is not known beforehand."""


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class DnsWrongAddress(Fault):
    """Names that the instance looks up are answered with random addresses.

    Where they are looked up for each connection, those that are open already go on; an instance of a local
    target looks them up for each call.
    """

    kind: ClassVar[str] = "dns-wrong-address"
    mechanisms: ClassVar[tuple[str, ...]] = ("workload", "chaos-mesh")
    needs: ClassVar[Need] = "callees"
    names: ClassVar[Mapping[str, Named]] = {"name": "callees"}
    parameters: ClassVar[tuple[Parameter, ...]] = (LOOKED_UP,)

    name: str

    @property
    def severity(self) -> float:
        return 1.0

    def contract(self) -> Contract:
        lost = failed(_SHARE, some_endpoints=self.name != "")
        return towards_users(lost, root=(served(lost),))
