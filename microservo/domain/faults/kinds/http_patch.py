"""http-patch: a field of the instance's JSON answers has another value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.shared_parameters import ENDPOINT
from microservo.domain.faults.symptoms import failed, served, towards_users
from microservo.domain.faults.units import TEXT


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class HttpPatch(Fault):
    """A field of the JSON objects that the instance answers has another value.

    Whether that shows is up to who reads them: a wrong answer in time is the hardest fault to see.
    """

    kind: ClassVar[str] = "http-patch"
    mechanisms: ClassVar[tuple[str, ...]] = ("sidecar", "chaos-mesh")
    strong: ClassVar[Mapping[str, str]] = {"field": "endpoint"}
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="field",
            field="field",
            unit=TEXT,
            doc="name of the field",
        ),
        Parameter(
            name="value",
            field="value",
            unit=TEXT,
            doc="what it is set to",
            default="wrong",
        ),
        ENDPOINT,
    )

    field: str
    value: str
    endpoint: str

    @property
    def severity(self) -> float:
        return 0.5

    def contract(self) -> Contract:
        failing = failed(0.1, some_endpoints=True)
        return towards_users(failing, root=(served(failing),))
