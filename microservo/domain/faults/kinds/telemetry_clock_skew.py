"""telemetry-clock-skew: what the instance tells of itself bears the times of a clock that is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.shared_parameters import SIGNALS
from microservo.domain.faults.symptoms import unheard
from microservo.domain.faults.units import DURATION

_MOST_US = 60_000_000
_MOST_AHEAD_US = 3_000_000
"""Windows take what lies up to 5 s ahead of its stamp; of more, the whole message would be rejected, and with
it what other instances sent."""
_UNHEARD = 0.4
"""Share of the time in force in which nothing is heard; how long that is, its parameters alone don't say."""


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetryClockSkew(Fault):
    """The times of records that the instance sends are wrong by an offset; a negative one makes them older.

    A detector sees a gap as long as the offset at one end of the fault, twice as many requests beyond the
    other, and answers that end before they were asked for. What is older than windows wait for is late or
    dropped in the ledger.
    """

    kind: ClassVar[str] = "telemetry-clock-skew"
    mechanisms: ClassVar[tuple[str, ...]] = ("collector",)
    on_telemetry: ClassVar[bool] = True
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="offset",
            field="offset_us",
            unit=DURATION,
            doc="added to each time",
            default="3s",
            low=-_MOST_US,
            high=_MOST_AHEAD_US,
        ),
        SIGNALS,
    )

    offset_us: int
    signals: str

    @property
    def severity(self) -> float:
        return abs(self.offset_us) / _MOST_US

    def contract(self) -> Contract:
        return unheard(_UNHEARD, self.signals)
