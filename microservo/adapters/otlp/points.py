"""What points of every kind of metric are checked for, and their columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    DataPointFlags,
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    SummaryDataPoint,
)

from microservo.adapters.otlp.checks import Checks, Instants, Refused, microseconds
from microservo.adapters.otlp.groups import dead_letter
from microservo.adapters.otlp.resource import Origin
from microservo.domain.bounded_names import MAX_NAME_CHARS
from microservo.domain.telemetry import Float64, Int64

Distribution: TypeAlias = HistogramDataPoint | ExponentialHistogramDataPoint | SummaryDataPoint
Point: TypeAlias = NumberDataPoint | Distribution
NO_VALUE = DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK
"""Flag of a point that says that there is none: a series that ended. It gives no row and is no error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What goes for all points of a resource.

    Attributes:
        origin: who sent them.
        instants: what their times are judged by.
    """

    origin: Origin
    instants: Instants


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """Points of which some may not be used.

    Attributes:
        positions: of those that may.
        time_us: of these, shape (positions,).
        start_us: since when they count, 0 where unknown.
        refused: the others.
    """

    positions: Sequence[int]
    time_us: Int64
    start_us: Int64
    refused: tuple[Refused, ...] = ()


def check_points(
    points: Sequence[Point], metrics: Sequence[Metric], values: Float64, checks: Checks, received: Received
) -> Checked:
    """The points that can be used.

    Args:
        points: at least one.
        metrics: that of each point.
        values: of each point; that of one that can't be used is not finite.
        checks: what was found wrong with them before.
        received: from whom, and when.
    """
    time_us = microseconds([point.time_unix_nano for point in points])
    start_us = microseconds([point.start_time_unix_nano for point in points])
    checks.refuse_times(time_us, received.instants.now_us)
    checks.refuse(~np.isfinite(values), "value is not a finite number")
    checks.refuse([not metric.name for metric in metrics], "metric has no name")
    reasons = checks.reasons
    if not reasons:
        return Checked(positions=range(len(points)), time_us=time_us, start_us=start_us)
    kept = [at for at in range(len(points)) if at not in reasons]
    refused = [
        dead_letter(_alone(metrics[at], points[at]), why, received.origin)
        for at, why in sorted(reasons.items())
    ]
    return Checked(positions=kept, time_us=time_us[kept], start_us=start_us[kept], refused=tuple(refused))


def _alone(metric: Metric, point: Point) -> Metric:
    """The metric with this point only."""
    kind = metric.WhichOneof("data")
    alone = Metric(name=metric.name[: 4 * MAX_NAME_CHARS], unit=metric.unit)
    if kind is not None:
        getattr(alone, kind).data_points.append(point)
    return alone
