"""The points of histograms, exponential histograms and summaries to rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import numpy as np
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    Metric,
    SummaryDataPoint,
)

from microservo.adapters.otlp.checks import Checks, Decoded
from microservo.adapters.otlp.points import NO_VALUE, Checked, Distribution, Received, check_points
from microservo.adapters.otlp.resource import Origin
from microservo.adapters.otlp.series import Labels, Series, series_column
from microservo.domain.bounded_names import cut
from microservo.domain.exponential import Buckets
from microservo.domain.rows import CUMULATIVE, DELTA, DistributionRows
from microservo.domain.telemetry import Float64

MAX_BUCKETS = 1000
"""Of one point; SDKs make 160 at most."""
_DELTA = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
_SCALES = range(-10, 21)
"""Those that OpenTelemetry's data model allows."""


@dataclass(slots=True)
class Distributions:
    """The points of histograms, exponential histograms and summaries of a resource, a list for each field."""

    points: list[Distribution] = field(default_factory=list)
    metrics: list[Metric] = field(default_factory=list)
    series: list[Series] = field(default_factory=list)

    def add(self, metric: Metric, points: Sequence[Distribution], scope: str, labels: Labels) -> None:
        """Adds the points of one metric."""
        name = cut(metric.name)
        wanted = [point for point in points if not point.flags & NO_VALUE]
        self.points += wanted
        self.metrics += [metric] * len(wanted)
        self.series += [(name, labels.of(point.attributes), scope) for point in wanted]

    def decoded(self, received: Received) -> Iterator[Decoded]:
        """The rows, those of one kind and the same bounds together; and what is wrong with others."""
        if not self.points:
            return
        bounds = list(map(_bounds_of, self.points))
        checks = Checks()
        for reason, misfits in _misfits(self.points, bounds).items():
            checks.refuse(misfits, f"histogram is of no use: {reason}")
        total = np.array([point.sum for point in self.points], np.float64)
        checked = check_points(self.points, self.metrics, total, checks, received)
        too_old = int(np.count_nonzero(checked.time_us < received.instants.oldest_us))
        yield Decoded(refused=checked.refused, too_old=too_old)
        alike: dict[tuple[type, Literal[1, 2], tuple[float, ...]], list[int]] = {}
        for place, at in enumerate(checked.positions):
            kind = (type(self.points[at]), _temporality(self.metrics[at]), bounds[at])
            alike.setdefault(kind, []).append(place)
        for (_, temporality, shared), places in alike.items():
            yield Decoded(rows=(self._rows(received.origin, checked, places, temporality, shared),))

    def _rows(
        self,
        origin: Origin,
        checked: Checked,
        places: list[int],
        temporality: Literal[1, 2],
        bounds: tuple[float, ...],
    ) -> DistributionRows:
        positions = [checked.positions[place] for place in places]
        points = [self.points[at] for at in positions]
        return DistributionRows(
            service=origin.service,
            instance=origin.instance,
            identity=origin.identity,
            scopes=origin.scopes,
            time_us=checked.time_us[places],
            start_us=checked.start_us[places],
            series=series_column([self.series[at] for at in positions]),
            observations=np.array([point.count for point in points], np.float64),
            total=_totals(points),
            temporality=temporality,
            bounds=bounds,
            buckets=_matrix(points) if bounds else np.zeros((len(points), 0)),
            exponential=tuple(
                [_exponential(each) for each in points if isinstance(each, ExponentialHistogramDataPoint)]
            ),
            quantiles=tuple([_quantiles(each) for each in points if isinstance(each, SummaryDataPoint)]),
        )


def _misfits(points: Sequence[Distribution], bounds: Sequence[tuple[float, ...]]) -> dict[str, list[bool]]:
    """What buckets can't be read for, and of which points."""
    sizes = [_buckets(point) for point in points]
    misfits = [
        # A histogram may have none at all, and so only a count and a sum.
        size > 1 and not (size == len(each) + 1 and _are_rising(each))
        if isinstance(point, HistogramDataPoint)
        else isinstance(point, ExponentialHistogramDataPoint) and point.scale not in _SCALES
        for point, size, each in zip(points, sizes, bounds, strict=True)
    ]
    return {
        f"it has more than {MAX_BUCKETS} buckets": [size > MAX_BUCKETS for size in sizes],
        "its buckets and bounds do not fit": misfits,
    }


def _buckets(point: Distribution) -> int:
    if isinstance(point, HistogramDataPoint):
        return len(point.bucket_counts)
    if isinstance(point, ExponentialHistogramDataPoint):
        return len(point.positive.bucket_counts) + len(point.negative.bucket_counts)
    return 0


def _bounds_of(point: Distribution) -> tuple[float, ...]:
    """The bounds of a histogram that has buckets."""
    if not isinstance(point, HistogramDataPoint) or len(point.bucket_counts) < 2:
        return ()
    return tuple(point.explicit_bounds)


@lru_cache(maxsize=256)
def _are_rising(bounds: tuple[float, ...]) -> bool:
    return all(low < high for low, high in pairwise(bounds))


def _totals(points: Sequence[Distribution]) -> Float64:
    return np.array(
        [
            point.sum if isinstance(point, SummaryDataPoint) or point.HasField("sum") else np.nan
            for point in points
        ],
        np.float64,
    )


def _temporality(metric: Metric) -> Literal[1, 2]:
    kind = metric.WhichOneof("data")
    if kind == "histogram":
        return DELTA if metric.histogram.aggregation_temporality == _DELTA else CUMULATIVE
    if kind == "exponential_histogram":
        return DELTA if metric.exponential_histogram.aggregation_temporality == _DELTA else CUMULATIVE
    return CUMULATIVE


def _matrix(points: Sequence[Distribution]) -> Float64:
    return np.array(
        [list(point.bucket_counts) for point in points if isinstance(point, HistogramDataPoint)], np.float64
    )


def _exponential(point: ExponentialHistogramDataPoint) -> Buckets:
    return Buckets(
        scale=point.scale,
        zeros=float(point.zero_count),
        zero_threshold=point.zero_threshold,
        offset=point.positive.offset,
        counts=np.array(point.positive.bucket_counts, np.float64),
        negative_offset=point.negative.offset,
        negatives=np.array(point.negative.bucket_counts, np.float64),
    )


def _quantiles(point: SummaryDataPoint) -> tuple[tuple[float, float], ...]:
    return tuple(sorted((each.quantile, each.value) for each in point.quantile_values))
