"""telemetry-reorder: records are held back, each for a time of its own."""

from __future__ import annotations

import numpy as np

from microservo.domain.faults.kinds.telemetry_reorder import TelemetryReorder
from services.telemetry_collector.faults.base import Outcome, Pushed, acts, chances

_STEPS = 8
"""Rows of one body that are held back for nearly as long go on together, so that messages stay few."""


@acts(TelemetryReorder)
def reorder(fault: TelemetryReorder, rows: Pushed, now_us: int, seed: int) -> Outcome:
    """Holds each row back for up to the longest time, some not at all."""
    step = (chances(rows, seed) * _STEPS).astype(np.int64)
    held = [
        (now_us + each * fault.within_us // (_STEPS - 1), rows.at(np.flatnonzero(step == each)))
        for each in np.unique(step).tolist()
    ]
    return Outcome([], rows.count, held=held)
