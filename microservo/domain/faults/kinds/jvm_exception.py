"""jvm-exception: a Java method throws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.symptoms import failed, served, towards_users
from microservo.domain.faults.units import TEXT


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class JvmException(Fault):
    """A method of a Java program throws an exception each time it is called."""

    kind: ClassVar[str] = "jvm-exception"
    mechanisms: ClassVar[tuple[str, ...]] = ("chaos-mesh",)
    strong: ClassVar[Mapping[str, str]] = {"class": "Main", "method": "handle"}
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="class",
            field="class_name",
            unit=TEXT,
            doc="with its package",
        ),
        Parameter(
            name="method",
            field="method",
            unit=TEXT,
            doc="name of the method",
        ),
        Parameter(
            name="exception",
            field="exception",
            unit=TEXT,
            doc="class of the exception",
            default="java.lang.RuntimeException",
        ),
    )

    class_name: str
    method: str
    exception: str

    @property
    def severity(self) -> float:
        return 1.0

    def contract(self) -> Contract:
        failing = failed(1.0, some_endpoints=True)
        return towards_users(failing, root=(served(failing),))
