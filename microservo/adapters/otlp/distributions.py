"""The points of histograms, exponential histograms and summaries to rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
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

from microservo.adapters.otlp.checks import Checks, Decoded, Instants
from microservo.adapters.otlp.points import NO_VALUE, Checked, Distribution, check_points
from microservo.adapters.otlp.resource import Origin
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


def decode_distribution(
    metric: Metric, origin: Origin, scope: str, labels: Labels, instants: Instants
) -> Iterator[Decoded]:
    """The points of one metric as rows: those with the same bounds of buckets together."""
    kind = metric.WhichOneof("data")
    assert kind is not None
    found: Sequence[Distribution] = getattr(metric, kind).data_points
    points = [point for point in found if not point.flags & NO_VALUE]
    if not points:
        return
    checks = Checks()
    for reason in ("it has more than 1000 buckets", "its buckets and bounds do not fit"):
        checks.refuse([_misfit(point) == reason for point in points], f"histogram is of no use: {reason}")
    total = np.array([_total(point) for point in points], np.float64)
    known = np.where(np.isnan(total) & [not _has_total(point) for point in points], 0.0, total)
    checked = check_points(points, [metric] * len(points), known, origin, instants.now_us, checks)
    yield Decoded(
        refused=checked.refused, too_old=int(np.count_nonzero(checked.time_us < instants.oldest_us))
    )
    if not checked.positions:
        return
    rows = _rows(metric, [points[at] for at in checked.positions], checked, origin, scope, labels)
    for each in _by_bounds(rows, [points[at] for at in checked.positions]):
        yield Decoded(rows=(each,))


def _misfit(point: Distribution) -> str:
    """Why the buckets of a point can't be read, '' if they can."""
    if isinstance(point, SummaryDataPoint):
        return ""
    if isinstance(point, ExponentialHistogramDataPoint):
        buckets = len(point.positive.bucket_counts) + len(point.negative.bucket_counts)
        fits = point.scale in _SCALES
    else:
        buckets = len(point.bucket_counts)
        # A histogram may have none at all, and so only a count and a sum.
        fits = not buckets or buckets == len(point.explicit_bounds) + 1
        fits = fits and all(low < high for low, high in pairwise(point.explicit_bounds))
    if buckets > MAX_BUCKETS:
        return "it has more than 1000 buckets"
    return "" if fits else "its buckets and bounds do not fit"


def _has_total(point: Distribution) -> bool:
    return isinstance(point, SummaryDataPoint) or point.HasField("sum")


def _total(point: Distribution) -> float:
    return point.sum if _has_total(point) else float("nan")


def _rows(
    metric: Metric, points: Sequence[Distribution], checked: Checked, origin: Origin, scope: str, labels: Labels
) -> DistributionRows:
    name = cut(metric.name)
    return DistributionRows(
        service=origin.service,
        instance=origin.instance,
        identity=origin.identity,
        scopes=origin.scopes,
        time_us=checked.time_us,
        start_us=checked.start_us,
        series=series_column([(name, labels.of(point.attributes), scope) for point in points]),
        observations=np.array([point.count for point in points], np.float64),
        total=np.array([_total(point) for point in points], np.float64),
        temporality=_temporality(metric),
        buckets=np.zeros((len(points), 0)),
        exponential=tuple([_exponential(each) for each in points if isinstance(each, ExponentialHistogramDataPoint)]),
        quantiles=tuple([_quantiles(each) for each in points if isinstance(each, SummaryDataPoint)]),
    )


def _temporality(metric: Metric) -> Literal[1, 2]:
    kind = metric.WhichOneof("data")
    if kind == "histogram":
        return DELTA if metric.histogram.aggregation_temporality == _DELTA else CUMULATIVE
    if kind == "exponential_histogram":
        return DELTA if metric.exponential_histogram.aggregation_temporality == _DELTA else CUMULATIVE
    return CUMULATIVE


def _by_bounds(rows: DistributionRows, points: Sequence[Distribution]) -> Iterator[DistributionRows]:
    """The rows of explicit histograms, apart where their bounds differ; others as they are."""
    places: dict[tuple[float, ...], list[int]] = {}
    for at, point in enumerate(points):
        has_bounds = isinstance(point, HistogramDataPoint) and len(point.bucket_counts) > 1
        bounds = tuple(point.explicit_bounds) if isinstance(point, HistogramDataPoint) and has_bounds else ()
        places.setdefault(bounds, []).append(at)
    for bounds, at in places.items():
        part = rows if len(places) == 1 else _picked(rows, at)
        if bounds:
            part = replace(part, bounds=bounds, buckets=_matrix(points[place] for place in at))
        yield part


def _matrix(points: Iterable[Distribution]) -> Float64:
    return np.array(
        [list(point.bucket_counts) for point in points if isinstance(point, HistogramDataPoint)], np.float64
    )


def _picked(rows: DistributionRows, at: list[int]) -> DistributionRows:
    return replace(
        rows,
        time_us=rows.time_us[at],
        start_us=rows.start_us[at],
        series=replace(rows.series, codes=rows.series.codes[at]),
        observations=rows.observations[at],
        total=rows.total[at],
        buckets=rows.buckets[at],
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
