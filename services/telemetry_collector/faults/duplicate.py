"""telemetry-duplicate: records come twice."""

from __future__ import annotations

import numpy as np

from microservo.domain.faults.kinds.telemetry_duplicate import TelemetryDuplicate
from services.telemetry_collector.faults.base import Outcome, Pushed, acts, chances


@acts(TelemetryDuplicate)
def duplicate(fault: TelemetryDuplicate, rows: Pushed, _now_us: int, seed: int) -> Outcome:
    """Repeats a share of the rows, behind all of them."""
    repeated = np.flatnonzero(chances(rows, seed) < fault.ratio)
    return Outcome([rows, rows.at(repeated)] if len(repeated) else [rows], len(repeated))
