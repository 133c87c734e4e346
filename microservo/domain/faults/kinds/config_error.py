"""config-error: a setting of the instance is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.symptoms import failed, served, towards_users
from microservo.domain.faults.units import TEXT


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigError(Fault):
    """One setting is wrong: where the database lies, whom to call, or how long to wait.

    All but the first show at instances that call others, and are refused by the rest.
    """

    kind: ClassVar[str] = "config-error"
    mechanisms: ClassVar[tuple[str, ...]] = ("workload",)
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="setting",
            field="setting",
            unit=TEXT,
            doc="which one",
            default="database",
            choices=("database", "address", "timeout"),
        ),
    )

    setting: str

    @property
    def severity(self) -> float:
        return 1.0

    def contract(self) -> Contract:
        failing = failed(1.0, some_endpoints=self.setting != "database")
        return towards_users(failing, root=(served(failing),))
