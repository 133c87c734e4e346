"""The points of histograms, exponential histograms and summaries to rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from microservo.adapters.otlp.points import NO_VALUE, Distribution, Received, check_points
from microservo.adapters.otlp.series import Labels, series_column
from microservo.domain.bounded_names import cut
from microservo.domain.exponential import Buckets
from microservo.domain.rows import CUMULATIVE, DELTA, DistributionRows
from microservo.domain.telemetry import Float64

MAX_BUCKETS = 1000
"""Of one point; SDKs make 160 at most."""
_DELTA = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
_SCALES = range(-10, 21)
"""Those that OpenTelemetry's data model allows."""


def decode_distribution(metric: Metric, scope: str, labels: Labels, received: Received) -> Iterator[Decoded]:
    """The points of one metric as rows: those with the same bounds of buckets together."""
    kind = metric.WhichOneof("data")
    assert kind is not None
    found: Sequence[Distribution] = getattr(metric, kind).data_points
    points = [point for point in found if not point.flags & NO_VALUE]
    if not points:
        return
    bounds = [_bounds_of(point) for point in points]
    checks = Checks()
    for reason, misfits in _misfits(points, bounds).items():
        checks.refuse(misfits, f"histogram is of no use: {reason}")
    total = np.array([point.sum for point in points], np.float64)
    checked = check_points(points, [metric] * len(points), total, checks, received)
    yield Decoded(
        refused=checked.refused, too_old=int(np.count_nonzero(checked.time_us < received.instants.oldest_us))
    )
    places: dict[tuple[float, ...], list[int]] = {}
    for place, at in enumerate(checked.positions):
        places.setdefault(bounds[at], []).append(place)
    name, origin = cut(metric.name), received.origin
    for alike, at_place in places.items():
        some = [points[checked.positions[place]] for place in at_place]
        rows = DistributionRows(
            service=origin.service,
            instance=origin.instance,
            identity=origin.identity,
            scopes=origin.scopes,
            time_us=checked.time_us[at_place],
            start_us=checked.start_us[at_place],
            series=series_column([(name, labels.of(point.attributes), scope) for point in some]),
            observations=np.array([point.count for point in some], np.float64),
            total=_totals(some),
            temporality=_temporality(metric),
            bounds=alike,
            buckets=_matrix(some) if alike else np.zeros((len(some), 0)),
            exponential=tuple(
                [_exponential(each) for each in some if isinstance(each, ExponentialHistogramDataPoint)]
            ),
            quantiles=tuple([_quantiles(each) for each in some if isinstance(each, SummaryDataPoint)]),
        )
        yield Decoded(rows=(rows,))


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
