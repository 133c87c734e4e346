"""telemetry-drop: records are lost."""

from __future__ import annotations

import numpy as np

from microservo.domain.faults.kinds.telemetry_drop import TelemetryDrop
from services.telemetry_collector.faults.base import Outcome, Pushed, acts, chances


@acts(TelemetryDrop)
def drop(fault: TelemetryDrop, rows: Pushed, _now_us: int, seed: int) -> Outcome:
    """Loses a share of the rows."""
    is_lost = chances(rows, seed) < fault.ratio
    lost, kept = np.flatnonzero(is_lost), np.flatnonzero(~is_lost)
    return Outcome([rows.at(kept)] if len(kept) else [], len(lost), lost=rows.at(lost))
