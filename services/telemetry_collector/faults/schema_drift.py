"""telemetry-schema-drift: a metric is renamed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from microservo.domain.faults.kinds.telemetry_schema_drift import TelemetrySchemaDrift
from microservo.domain.rows import DistributionRows, PointRows
from services.telemetry_collector.faults.base import Outcome, Pushed, acts


@acts(TelemetrySchemaDrift)
def drift(fault: TelemetrySchemaDrift, rows: Pushed, _now_us: int, _seed: int) -> Outcome:
    """Gives the points of the metric another name."""
    if not isinstance(rows, PointRows | DistributionRows) or fault.metric not in rows.series.metrics:
        return Outcome([rows], 0)
    is_renamed = np.array([name == fault.metric for name in rows.series.metrics])
    metrics = tuple(name + fault.suffix if name == fault.metric else name for name in rows.series.metrics)
    renamed = replace(rows, series=replace(rows.series, metrics=metrics))
    return Outcome([renamed], int(is_renamed[rows.series.codes].sum()))
