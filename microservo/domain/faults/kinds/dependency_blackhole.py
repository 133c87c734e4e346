"""dependency-blackhole: calls of the instance to a service vanish."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Named, Need, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.shared_parameters import CALLEE
from microservo.domain.faults.symptoms import failed, served, towards_users

_SHARE = 0.3
"""Of the requests, those that need what is called; how many that are is not known beforehand."""


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class DependencyBlackhole(Fault):
    """What the instance sends to a service that it calls vanishes: no answer, no refusal.

    Each such call takes as long as its time limit, and fails where that is reached.
    """

    kind: ClassVar[str] = "dependency-blackhole"
    mechanisms: ClassVar[tuple[str, ...]] = ("workload",)
    needs: ClassVar[Need] = "callees"
    names: ClassVar[Mapping[str, Named]] = {"peer": "callees"}
    parameters: ClassVar[tuple[Parameter, ...]] = (CALLEE,)

    peer: str

    @property
    def severity(self) -> float:
        return 1.0

    def contract(self) -> Contract:
        lost = failed(_SHARE, some_endpoints=self.peer != "")
        return towards_users(lost, root=(served(lost),))
