"""Metric data points to rows, each under its time series: the metric, `{key=value,...}`, and the scope.

Points are taken as they were sent: what a sum grew by, and what a histogram of an interval says of quantiles,
shows only beside the point before, which the collector knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
)

from microservo.adapters.otlp.checks import Checks, Decoded, Instants, joined
from microservo.adapters.otlp.distributions import Distributions
from microservo.adapters.otlp.points import NO_VALUE, Received, check_points
from microservo.adapters.otlp.resource import origin_of
from microservo.adapters.otlp.series import Labels, Series, series_column
from microservo.domain.bounded_names import cut
from microservo.domain.rows import CUMULATIVE, DELTA, LEVEL, PointRows

_DELTA = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA


def decode_metrics(request: ExportMetricsServiceRequest, instants: Instants) -> Decoded:
    """The data points of a request as rows: all numbers of a resource together, and all distributions alike.

    A point that says that there is no value (a series that ended) gives no row and is no error.
    """
    return joined([_decode_group(group, instants) for group in request.resource_metrics])


def _decode_group(group: ResourceMetrics, instants: Instants) -> Decoded:
    received = Received(origin=origin_of(group, group.scope_metrics), instants=instants)
    labels = Labels()
    numbers, distributions = _Numbers(), Distributions()
    for scope in group.scope_metrics:
        name = cut(scope.scope.name)
        for metric in scope.metrics:
            kind = metric.WhichOneof("data")
            if kind == "gauge":
                numbers.add(metric, metric.gauge.data_points, LEVEL, name, labels)
            elif kind == "sum":
                numbers.add(metric, metric.sum.data_points, _temporality(metric), name, labels)
            elif kind is not None:
                distributions.add(metric, getattr(metric, kind).data_points, name, labels)
    return joined([*numbers.decoded(received), *distributions.decoded(received)])


def _temporality(metric: Metric) -> int:
    """What the value of a sum is: one that may fall and was not reset is as good as a gauge."""
    if metric.sum.aggregation_temporality == _DELTA:
        return DELTA
    return CUMULATIVE if metric.sum.is_monotonic else LEVEL


@dataclass(slots=True)
class _Numbers:
    """The points of gauges and sums, a list for each field."""

    points: list[NumberDataPoint] = field(default_factory=list)
    metrics: list[Metric] = field(default_factory=list)
    series: list[Series] = field(default_factory=list)
    temporality: list[int] = field(default_factory=list)

    def add(
        self, metric: Metric, points: Sequence[NumberDataPoint], temporality: int, scope: str, labels: Labels
    ) -> None:
        name = cut(metric.name)
        wanted = [point for point in points if not point.flags & NO_VALUE]
        self.points += wanted
        self.metrics += [metric] * len(wanted)
        self.series += [(name, labels.of(point.attributes), scope) for point in wanted]
        self.temporality += [temporality] * len(wanted)

    def decoded(self, received: Received) -> Iterator[Decoded]:
        """The rows, and what is wrong with others; nothing where there is no point."""
        if not self.points:
            return
        values = np.array([_value(point) for point in self.points], np.float64)
        checked = check_points(self.points, self.metrics, values, Checks(), received)
        if not checked.positions:
            yield Decoded(refused=checked.refused)
            return
        kept, origin = np.array(checked.positions, np.int64), received.origin
        rows = PointRows(
            service=origin.service,
            instance=origin.instance,
            identity=origin.identity,
            scopes=origin.scopes,
            time_us=checked.time_us,
            start_us=checked.start_us,
            series=series_column([self.series[at] for at in checked.positions]),
            value=values[kept],
            temporality=np.array(self.temporality, np.uint8)[kept],
        )
        too_old = int(np.count_nonzero(checked.time_us < received.instants.oldest_us))
        yield Decoded(rows=(rows,), refused=checked.refused, too_old=too_old)


def _value(point: NumberDataPoint) -> float:
    kind = point.WhichOneof("value")
    if kind == "as_double":
        return point.as_double
    return float("nan") if kind is None else float(point.as_int)
