"""db-slow-query: queries of the instance to its database take longer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.symptoms import served, slow, towards_users
from microservo.domain.faults.units import COUNT, DURATION, TEXT

_FULL_SEVERITY_US = 1_000_000


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class DbSlowQuery(Fault):
    """Queries of the instance to its database take longer, each on a connection meanwhile.

    In a cluster those that a Java program sends to MySQL, by its driver.
    """

    kind: ClassVar[str] = "db-slow-query"
    mechanisms: ClassVar[tuple[str, ...]] = ("workload", "chaos-mesh")
    strong: ClassVar[Mapping[str, str]] = {"database": "shop", "latency": "300ms"}
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="database",
            field="database",
            unit=TEXT,
            doc="name of the database",
        ),
        Parameter(
            name="table",
            field="table",
            unit=TEXT,
            doc="only this one; empty: all",
            default="",
        ),
        Parameter(
            name="latency",
            field="latency_us",
            unit=DURATION,
            doc="in whole milliseconds",
            low=1_000,
            high=60_000_000,
        ),
        Parameter(
            name="connector",
            field="connector",
            unit=COUNT,
            doc="major version of the MySQL driver",
            default="8",
            low=5,
            high=8,
        ),
    )

    database: str
    table: str
    latency_us: int
    connector: int

    @property
    def severity(self) -> float:
        return min(1.0, self.latency_us / _FULL_SEVERITY_US)

    def contract(self) -> Contract:
        slower = slow(self.latency_us / 1000, some_endpoints=True)
        return towards_users(slower, root=(served(slower),))
