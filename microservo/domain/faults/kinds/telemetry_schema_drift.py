"""telemetry-schema-drift: a metric of the instance has another name from then on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Measure, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.units import TEXT


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetrySchemaDrift(Fault):
    """A metric that the instance sends is renamed.

    A detector sees the old one fall silent, and a new one that it has no past of.
    """

    kind: ClassVar[str] = "telemetry-schema-drift"
    mechanisms: ClassVar[tuple[str, ...]] = ("collector",)
    strong: ClassVar[Mapping[str, str]] = {"metric": "http.server.duration"}
    on_telemetry: ClassVar[bool] = True
    shows_idle: ClassVar[bool] = True
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(name="metric", field="metric", unit=TEXT, doc="its name, without attributes"),
        Parameter(name="suffix", field="suffix", unit=TEXT, doc="put behind the name", default=".v2"),
    )

    metric: str
    suffix: str

    @property
    def severity(self) -> float:
        return float(bool(self.metric and self.suffix))

    def contract(self) -> Contract:
        silent = Measure(of="metric", statistic="count", direction="down", metric=self.metric, least=0.5)
        return Contract(root=(silent,))
