"""The tables of a datapack of RCABench, as its platform takes them out of OpenTelemetry's tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from microservo.datasets.arrays import array_of, column_array, values_of
from microservo.datasets.formats.columns import Float64, Int64, coded, numbers_of, texts_of
from microservo.datasets.formats.distinct import log_levels
from microservo.datasets.formats.format import Export
from microservo.datasets.formats.json_text import json_strings
from microservo.datasets.formats.pods import Pods
from microservo.datasets.formats.source import Source
from microservo.datasets.formats.stretches import SECOND_US, Stretches

BIN_S = 10
"""Seconds that a count or a histogram of requests is of."""
REQUESTS, DURATION = "microservo.requests", "microservo.request.duration"
BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Those that OpenTelemetry recommends for durations of requests."""
_DELTA = 1
_NS = pa.timestamp("ns", tz="UTC")
_KINDS = {kind: kind.capitalize() for kind in ("internal", "server", "client", "producer", "consumer")}
_POINT_COLUMNS = ("time", "service", "instance", "name", "value", "interval_us")
_LINE_COLUMNS = ("time", "service", "instance", "severity", "trace_id", "span_id", "body")
_SPAN_COLUMNS = (
    *("time", "start", "duration_us", "service", "instance", "endpoint", "kind", "error"),
    *("trace_id", "span_id", "parent_id"),
)
_COUNTS = pa.list_(pa.uint64())
_BOUNDS = pa.list_(pa.float64())


@dataclass(frozen=True, slots=True, kw_only=True)
class Datapack:
    """Writes the tables of a folder."""

    out: Export
    folder: str
    pods: Pods
    services: Mapping[str, str]

    def write(self, source: Source, prefix: str, stretch: Stretches) -> Iterator[str]:
        """Writes those of one time range, and gives the names of those without rows."""
        points = source.within("metrics.parquet", stretch, *_POINT_COLUMNS)
        lines = source.within("logs.parquet", stretch, *_LINE_COLUMNS)
        spans = source.within("traces.parquet", stretch, *_SPAN_COLUMNS)
        is_rate = column_array(numbers_of(points, "interval_us") > 0, pa.bool_())
        served = _Served.of(spans)
        tables = {
            "traces": self._traces(spans),
            "logs": self._logs(lines),
            "metrics": self._metrics(points.filter(pc.invert(is_rate))),
            "metrics_sum": pa.concat_tables(
                [self._increases(points.filter(is_rate)), self._requests(served)]
            ),
            "metrics_histogram": self._durations(served),
            "trace_id_ts": _trace_times(spans),
        }
        for name, table in tables.items():
            file = f"{prefix}_{name}.parquet"
            pq.write_table(table, self.out.path(f"{self.folder}/{file}"), compression="zstd")
            if not table.num_rows:
                yield file

    def _traces(self, spans: pa.Table) -> pa.Table:
        count = spans.num_rows
        start_us, failed = values_of(spans.column("start")), numbers_of(spans, "error").astype(np.int64)
        kind = coded(spans.column("kind"))
        return pa.table(
            {
                "Timestamp": _instants(start_us),
                "TraceId": pc.fill_null(spans.column("trace_id"), ""),
                "SpanId": pc.fill_null(spans.column("span_id"), ""),
                "ParentSpanId": pc.fill_null(spans.column("parent_id"), ""),
                "TraceState": array_of([""] * count, pa.string()),
                "SpanName": texts_of(*coded(spans.column("endpoint"))),
                "SpanKind": pc.fill_null(texts_of([_KINDS[each] for each in kind.texts], kind.codes), ""),
                "ServiceName": self._services(spans),
                "ResourceAttributes": self._resources(spans, "pod.name", "service.name"),
                "SpanAttributes": array_of(["{}"] * count, pa.string()),
                "Duration": column_array(numbers_of(spans, "duration_us") * 1000).cast(pa.uint64()),
                "StatusCode": texts_of(["Unset", "Error"], failed),
                "StatusMessage": array_of([""] * count, pa.string()),
            }
        )

    def _logs(self, lines: pa.Table) -> pa.Table:
        time_us, severity = values_of(lines.column("time")), numbers_of(lines, "severity")
        seconds = column_array(time_us // SECOND_US, pa.timestamp("s"))
        return pa.table(
            {
                "Timestamp": _instants(time_us),
                "TimestampTime": seconds.cast(pa.timestamp("s", tz="UTC")),
                "TraceId": pc.fill_null(lines.column("trace_id"), ""),
                "SpanId": pc.fill_null(lines.column("span_id"), ""),
                "SeverityText": pc.fill_null(log_levels(severity), ""),
                "SeverityNumber": column_array(severity.astype(np.uint8)),
                "ServiceName": self._services(lines),
                "Body": lines.column("body"),
                "ResourceAttributes": self._resources(lines, "pod.name", "service.name"),
                "LogAttributes": array_of(["{}"] * lines.num_rows, pa.string()),
            }
        )

    def _metrics(self, points: pa.Table) -> pa.Table:
        return self._numbers(
            values_of(points.column("time")),
            texts_of(*coded(points.column("name"))),
            points.column("value"),
            self._services(points),
            self._resources(points, "k8s.pod.name", "k8s.deployment.name"),
        )

    def _increases(self, points: pa.Table) -> pa.Table:
        """What each rate stands for: its value times the seconds that it is over."""
        increases = numbers_of(points, "value") * numbers_of(points, "interval_us") / SECOND_US
        table = self._metrics(points)
        return table.set_column(table.schema.get_field_index("Value"), "Value", column_array(increases))

    def _requests(self, served: _Served) -> pa.Table:
        return self._numbers(
            served.ends_us,
            array_of([REQUESTS] * len(served.ends_us), pa.string()),
            column_array(served.counts.astype(np.float64)),
            self._services(served.owners),
            self._resources(served.owners, "k8s.pod.name", "k8s.deployment.name"),
        )

    def _numbers(self, time_us: Int64, names: pa.Array, values: pa.Array, *of: pa.Array) -> pa.Table:
        service, resource = of
        count = len(time_us)
        return pa.table(
            {
                "TimeUnix": _instants(time_us),
                "MetricName": names,
                "MetricDescription": array_of([""] * count, pa.string()),
                "Value": values,
                "ServiceName": service,
                "MetricUnit": array_of([""] * count, pa.string()),
                "ResourceAttributes": resource,
                "Attributes": array_of(["{}"] * count, pa.string()),
            }
        )

    def _durations(self, served: _Served) -> pa.Table:
        count = len(served.ends_us)
        return pa.table(
            {
                "TimeUnix": _instants(served.ends_us),
                "MetricName": array_of([DURATION] * count, pa.string()),
                "ServiceName": self._services(served.owners),
                "MetricUnit": array_of(["s"] * count, pa.string()),
                "ResourceAttributes": self._resources(served.owners, "pod.name", "service.name"),
                "Attributes": array_of(["{}"] * count, pa.string()),
                "Count": column_array(served.counts).cast(pa.uint64()),
                "Sum": column_array(served.sums_s),
                "BucketCounts": array_of(served.buckets.tolist(), _COUNTS),
                "ExplicitBounds": array_of([list(BOUNDS_S)] * count, _BOUNDS),
                "Min": column_array(served.least_s),
                "Max": column_array(served.most_s),
                "AggregationTemporality": column_array(np.full(count, _DELTA, np.int32)),
            }
        )

    def _services(self, table: pa.Table) -> pa.Array:
        service = coded(table.column("service"))
        return texts_of([self.services[name] for name in service.texts], service.codes)

    def _resources(self, table: pa.Table, pod: str, service: str) -> pa.Array:
        """Attributes of the pod of each row, as JSON."""
        names, services = json_strings(self.pods.column(table)), json_strings(self._services(table))
        parts = (f'{{"{pod}":"', names, f'","{service}":"', services)
        return pc.binary_join_element_wise(*parts, '","service.namespace":"microservo"}', "")


@dataclass(frozen=True, slots=True, eq=False)
class _Served:
    """Requests by pod and bin: when the bin ended, how many, how long; arrays have shape (pods in bins,)."""

    owners: pa.Table
    ends_us: Int64
    counts: Int64
    sums_s: Float64
    least_s: Float64
    most_s: Float64
    buckets: NDArray[np.uint64]

    @classmethod
    def of(cls, spans: pa.Table) -> _Served:
        served = spans.filter(pc.fill_null(pc.equal(spans.column("kind").cast(pa.string()), "server"), False))
        service, instance = coded(served.column("service")), coded(served.column("instance"))
        bins = values_of(served.column("time")) // (BIN_S * SECOND_US)
        owners = service.codes * (len(instance.texts) + 1) + instance.codes + 1
        keys = bins * max(1, len(service.texts) * (len(instance.texts) + 1)) + owners
        _, firsts, place = np.unique(keys, return_index=True, return_inverse=True)
        duration_s = numbers_of(served, "duration_us") / SECOND_US
        groups = len(firsts)
        least, most = np.full(groups, np.inf), np.zeros(groups)
        np.minimum.at(least, place, duration_s)
        np.maximum.at(most, place, duration_s)
        bucket = np.searchsorted(BOUNDS_S, duration_s, "left")
        width = len(BOUNDS_S) + 1
        counts = np.bincount(place * width + bucket, minlength=groups * width).reshape(groups, width)
        return cls(
            served.take(column_array(firsts.astype(np.int64))).select(["service", "instance"]),
            (bins[firsts] + 1) * BIN_S * SECOND_US,
            np.bincount(place, minlength=groups),
            np.bincount(place, duration_s, minlength=groups).astype(np.float64),
            least,
            most,
            counts.astype(np.uint64),
        )


def _trace_times(spans: pa.Table) -> pa.Table:
    """First start and last end of each trace, in the order of their ids."""
    known = spans.filter(pc.is_valid(spans.column("trace_id")))
    traces = coded(known.column("trace_id"))
    start = np.full(len(traces.texts), np.iinfo(np.int64).max)
    end = np.zeros(len(traces.texts), np.int64)
    np.minimum.at(start, traces.codes, values_of(known.column("start")))
    np.maximum.at(end, traces.codes, values_of(known.column("time")))
    ids = array_of(traces.texts, pa.string())
    return pa.table({"TraceId": ids, "Start": _instants(start), "End": _instants(end)})


def _instants(times_us: Int64) -> pa.Array:
    return column_array(times_us, pa.timestamp("us")).cast(pa.timestamp("ns")).cast(_NS)
