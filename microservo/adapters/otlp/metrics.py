"""Metric data points to rows, each under the name of its time series: `name{key=value,...}`.

A point of a distribution becomes two rows: `name.count{...}` and `name.sum{...}`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    DataPointFlags,
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    SummaryDataPoint,
)

from microservo.adapters.otlp.checks import (
    MAX_NAME_CHARS,
    Checks,
    Decoded,
    Instants,
    Refused,
    joined,
    microseconds,
)
from microservo.adapters.otlp.groups import dead_letter
from microservo.adapters.otlp.resource import fault_of, origin_of
from microservo.adapters.otlp.series import Labels
from microservo.domain.rows import MetricRows, coded
from microservo.domain.telemetry import Int64

Distribution: TypeAlias = HistogramDataPoint | ExponentialHistogramDataPoint | SummaryDataPoint
Point: TypeAlias = NumberDataPoint | Distribution
_NO_VALUE = DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK


def decode_metrics(request: ExportMetricsServiceRequest, instants: Instants) -> Decoded:
    """The data points of a request as rows, one group per resource.

    A point that says that there is no value (a series that ended) gives no row and is no error.
    """
    return joined([_decode_group(group, instants) for group in request.resource_metrics])


@dataclass(slots=True)
class _Table:
    """Rows in the making: the point that each came from, its name, its value."""

    points: list[Point] = field(default_factory=list)
    metrics: list[Metric] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add(self, metric: Metric, point: Point, name: str, value: float) -> None:
        self.points.append(point)
        self.metrics.append(metric)
        self.names.append(name)
        self.values.append(value)

    def time_us(self) -> Int64:
        return microseconds([point.time_unix_nano for point in self.points])

    def without(self, positions: set[int]) -> _Table:
        kept = _Table()
        for index, row in enumerate(zip(self.metrics, self.points, self.names, self.values, strict=True)):
            if index not in positions:
                kept.add(*row)
        return kept


def _decode_group(group: ResourceMetrics, instants: Instants) -> Decoded:
    service, instance = origin_of(group)
    table = _table(metric for scope in group.scope_metrics for metric in scope.metrics)
    if not table.points:
        return Decoded()
    refused: list[Refused] = []
    time_us = table.time_us()
    reasons = _faults(table, time_us, instants.now_us, fault_of(service, instance))
    if reasons:
        # Both rows of a distribution's point stand or fall together, and it is dead-lettered once.
        bad = {id(table.points[index]): (index, why) for index, why in sorted(reasons.items(), reverse=True)}
        for index, why in sorted(bad.values()):
            refused.append(
                dead_letter(_alone(table.metrics[index], table.points[index]), why, service, instance)
            )
        table = table.without({index for index, point in enumerate(table.points) if id(point) in bad})
        time_us = table.time_us()
    if not table.points:
        return Decoded(refused=tuple(refused))
    old = np.flatnonzero(time_us < instants.oldest_us).tolist()
    return Decoded(
        rows=(_rows(table, time_us, service, instance),),
        refused=tuple(refused),
        too_old=len({id(table.points[index]) for index in old}),
    )


def _table(metrics: Iterator[Metric]) -> _Table:
    table, labels = _Table(), Labels()
    for metric in metrics:
        kind = metric.WhichOneof("data")
        if kind in {"gauge", "sum"}:
            _add_numbers(table, labels, metric, metric.gauge if kind == "gauge" else metric.sum)
        elif kind is not None:
            _add_distributions(table, labels, metric, getattr(metric, kind).data_points)
    return table


def _add_numbers(table: _Table, labels: Labels, metric: Metric, data: object) -> None:
    name = metric.name
    for point in data.data_points:  # type: ignore[attr-defined]  # Gauge and Sum share no base in protobuf
        if point.flags & _NO_VALUE:
            continue
        kind = point.WhichOneof("value")
        value = float("nan") if kind is None else float(getattr(point, kind))
        table.add(metric, point, name + labels.of(point.attributes), value)


def _add_distributions(table: _Table, labels: Labels, metric: Metric, points: list[Distribution]) -> None:
    name = metric.name
    for point in points:
        if point.flags & _NO_VALUE:
            continue
        written = labels.of(point.attributes)
        table.add(metric, point, f"{name}.count{written}", float(point.count))
        if isinstance(point, SummaryDataPoint) or point.HasField("sum"):
            table.add(metric, point, f"{name}.sum{written}", point.sum)


def _faults(table: _Table, time_us: Int64, now_us: int, of_all: str | None) -> dict[int, str]:
    """Why rows can't be used, by position; `of_all` goes for every one."""
    checks = Checks()
    if of_all is not None:
        checks.refuse(np.ones(len(table.points), bool), of_all)
    checks.refuse_times(time_us, now_us)
    checks.refuse(~np.isfinite(np.array(table.values, np.float64)), "value is not a finite number")
    names = [metric.name for metric in table.metrics]
    checks.refuse([not name for name in names], "metric has no name")
    checks.refuse_long(names, "metric name")
    return checks.reasons


def _alone(metric: Metric, point: Point) -> Metric:
    """The metric with this point only."""
    kind = metric.WhichOneof("data")
    alone = Metric(name=metric.name[: 4 * MAX_NAME_CHARS], unit=metric.unit)
    if kind is not None:
        getattr(alone, kind).data_points.append(point)
    return alone


def _rows(table: _Table, time_us: Int64, service: str, instance: str) -> MetricRows:
    return MetricRows(
        service=service,
        instance=instance,
        time_us=time_us,
        name=coded(table.names),
        value=np.array(table.values, np.float64),
    )
