"""telemetry-clock-skew: the times of records are wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from microservo.domain.faults.kinds.telemetry_clock_skew import TelemetryClockSkew
from microservo.domain.rows import LogRows, SpanRows
from services.telemetry_collector.faults.base import Outcome, Pushed, acts


@acts(TelemetryClockSkew)
def skew(fault: TelemetryClockSkew, rows: Pushed, _now_us: int, _seed: int) -> Outcome:
    """Moves all times of the rows."""
    return Outcome([_moved(rows, fault.offset_us)], rows.count)


def _moved(rows: Pushed, offset_us: int) -> Pushed:
    if isinstance(rows, SpanRows):
        return replace(rows, start_us=rows.start_us + offset_us)
    if isinstance(rows, LogRows):
        return replace(rows, time_us=rows.time_us + offset_us)
    start_us = np.where(rows.start_us == 0, 0, rows.start_us + offset_us)
    return replace(rows, time_us=rows.time_us + offset_us, start_us=start_us)
