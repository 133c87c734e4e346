"""telemetry-delay: records are held back, all for the same time."""

from __future__ import annotations

from microservo.domain.faults.kinds.telemetry_delay import TelemetryDelay
from services.telemetry_collector.faults.base import Outcome, Pushed, acts


@acts(TelemetryDelay)
def delay(fault: TelemetryDelay, rows: Pushed, now_us: int, _seed: int) -> Outcome:
    """Holds the rows back."""
    return Outcome([], rows.count, held=[(now_us + fault.delay_us, rows)])
