"""Long tables as the AIOps challenge of 2022 has them, and OpenRCA after it: a point, a span or a line a row.

Times are of UTC; what stands in their text and in the names of folders and files is UTC+8, as theirs is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from microservo.datasets.arrays import column_array, values_of
from microservo.datasets.formats.columns import coded, numbers_of, sums, texts_of
from microservo.datasets.formats.distinct import services_by_kind
from microservo.datasets.formats.fault_cases import FaultCase, FaultCases
from microservo.datasets.formats.format import Export
from microservo.datasets.formats.minutes import hours
from microservo.datasets.formats.names import file_name
from microservo.datasets.formats.pods import Pods, pods_of
from microservo.datasets.formats.source import Source
from microservo.datasets.formats.stretches import SECOND_US
from microservo.datasets.formats.telemetry_series import Grid

POINT_COLUMNS = ("time", "service", "instance", "name", "value")
LINE_COLUMNS = ("time", "service", "instance", "body")
SPAN_COLUMNS = (
    *("time", "start", "duration_us", "service", "instance", "endpoint", "kind", "protocol", "error"),
    *("trace_id", "span_id", "parent_id"),
)
LOCAL = timezone(timedelta(hours=8))
"""The zone of their days and texts."""
FAILED = 2
"""OpenTelemetry's number of a span that failed; 0 is one that did not say so."""

POINTS = pa.schema(
    [("timestamp", pa.int64()), ("cmdb_id", pa.string()), ("kpi_name", pa.string()), ("value", pa.float64())]
)
SPANS = pa.schema(
    [
        *(("timestamp", pa.int64()), ("cmdb_id", pa.string()), ("span_id", pa.string())),
        *(("trace_id", pa.string()), ("duration", pa.int64()), ("type", pa.string())),
        *(("status_code", pa.int64()), ("operation_name", pa.string()), ("parent_span", pa.string())),
    ]
)
LINES = pa.schema(
    [
        *(("log_id", pa.int64()), ("timestamp", pa.int64()), ("cmdb_id", pa.string())),
        *(("log_name", pa.string()), ("value", pa.string())),
    ]
)
MINUTES = pa.schema(
    [
        *(("service", pa.string()), ("timestamp", pa.int64()), ("rr", pa.float64())),
        *(("sr", pa.float64()), ("mrt", pa.float64()), ("count", pa.int64())),
    ]
)


@dataclass(frozen=True, slots=True)
class RootCause:
    """What was at the bottom of a fault: a node, a service, or a pod."""

    level: str
    component: str
    timestamp: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Components:
    """What telemetry and faults are of, by the names that are written.

    Attributes:
        services: by our name.
        kinds: what each of ours is.
        pods: `<service>-<n>` of each instance.
        nodes: `node-<n>` of each host of an instance, and of each service that is one.
    """

    services: Mapping[str, str]
    kinds: Mapping[str, str]
    pods: Pods
    nodes: Mapping[str, str]

    @classmethod
    def of(cls, source: Source, out: Export) -> Components:
        """Those of a dataset."""
        kinds = services_by_kind(source)
        services = out.names.map("service", kinds, file_name)
        pods = pods_of(source, out, lambda service, number: f"{services[service]}-{number}")
        hosts = sorted({*pods.hosts.values(), *(name for name, kind in kinds.items() if kind == "host")})
        number = {host: place for place, host in enumerate(hosts, start=1)}
        nodes = out.names.map("node", hosts, lambda host: f"node-{number[host]}")
        return cls(services=services, kinds=kinds, pods=pods, nodes=nodes)

    def causes(self, case: FaultCase) -> Iterator[RootCause]:
        """What was at the bottom of a fault: the service where it was in force on all of its instances."""
        timestamp = case.applied_us // SECOND_US
        own = {instance for service, instance in self.pods.names if service == case.service}
        if self.kinds.get(case.service) == "host":
            yield RootCause("node", self.nodes[case.service], timestamp)
        elif len(own) > 1 and own == {each.instance for each in case.applied_to}:
            yield RootCause("service", self.services[case.service], timestamp)
        else:
            for instance, applied_us, _ in case.applied_to:
                yield RootCause("pod", self.pods.names[case.service, instance], applied_us // SECOND_US)

    def points(self, points: pa.Table, *, of_nodes: bool) -> pa.Table:
        """The points of pods, or those of nodes; seconds. A pod has the node in front that it runs on."""
        service = coded(points.column("service"))
        is_node = np.array([self.kinds[name] == "host" for name in service.texts], np.bool_)
        if len(service.texts):
            points = points.filter(column_array(is_node[service.codes] == of_nodes, pa.bool_()))
        names = self._nodes(points) if of_nodes else self._containers(points)
        columns = [
            column_array(values_of(points.column("time")) // SECOND_US),
            names,
            texts_of(*coded(points.column("name"))),
            points.column("value"),
        ]
        return pa.table(columns, schema=POINTS)

    def spans(self, spans: pa.Table) -> pa.Table:
        """Spans: their start in milliseconds, their duration in microseconds."""
        columns = [
            column_array(values_of(spans.column("start")) // 1000),
            self.pods.column(spans),
            spans.column("span_id"),
            spans.column("trace_id"),
            spans.column("duration_us"),
            texts_of(*coded(spans.column("protocol"))),
            column_array(numbers_of(spans, "error").astype(np.int64) * FAILED),
            texts_of(*coded(spans.column("endpoint"))),
            spans.column("parent_id"),
        ]
        return pa.table(columns, schema=SPANS)

    def lines(self, lines: pa.Table, first_id: int) -> pa.Table:
        """Lines, in seconds, numbered from `first_id` on."""
        service = coded(lines.column("service"))
        names = [f"log_{self.services[name]}-service_application" for name in service.texts]
        columns = [
            column_array(np.arange(first_id, first_id + lines.num_rows, dtype=np.int64)),
            column_array(values_of(lines.column("time")) // SECOND_US),
            self.pods.column(lines),
            texts_of(names, service.codes),
            lines.column("body"),
        ]
        return pa.table(columns, schema=LINES)

    def minutes(self, spans: pa.Table, grid: Grid) -> pa.Table:
        """What each service served in each minute: success in percent, mean duration in milliseconds, count.

        How many requests were answered at all (`rr`) is not known.
        """
        served = spans.filter(pc.fill_null(pc.equal(spans.column("kind").cast(pa.string()), "server"), False))
        service = coded(served.column("service"))
        place, inside = grid.bins(values_of(served.column("time")))
        row, column = place[inside], service.codes[inside]
        shape = (len(grid.starts_s), len(service.texts))
        counts = sums(row, column, shape)
        failed = sums(row, column, shape, numbers_of(served, "error")[inside].astype(np.float64))
        total_ms = sums(row, column, shape, numbers_of(served, "duration_us")[inside] / 1000)
        minute, owner = np.nonzero(counts)
        count = counts[minute, owner]
        columns = [
            texts_of([self.services[name] for name in service.texts], owner.astype(np.int64)),
            column_array(grid.starts_s[minute]),
            column_array(np.zeros(len(minute)), unknown=np.ones(len(minute), np.bool_)),
            column_array((1 - failed[minute, owner] / count) * 100),
            column_array(total_ms[minute, owner] / count),
            column_array(count.astype(np.int64)),
        ]
        return pa.table(columns, schema=MINUTES)

    def _nodes(self, points: pa.Table) -> pa.Array:
        service = coded(points.column("service"))
        return texts_of([self.nodes[name] for name in service.texts], service.codes)

    def _containers(self, points: pa.Table) -> pa.Array:
        host = pa.chunked_array([self.pods.host_column(points)])
        texts, codes = coded(host)
        node = texts_of([self.nodes[name] for name in texts], codes)
        return pc.binary_join_element_wise(pc.fill_null(node, "node-0"), self.pods.column(points), ".")


class Hour(NamedTuple):
    """The telemetry of an hour in order of time, and its minutes."""

    grid: Grid
    points: pa.Table
    spans: pa.Table
    lines: pa.Table


def telemetry_hours(source: Source, found: FaultCases, out: Export) -> Iterator[Hour]:
    """All telemetry of a run, an hour at a time; says how far it is."""
    parts = list(hours(found.from_us, found.until_us))
    for done, (stretch, grid) in enumerate(parts, start=1):
        points = source.within("metrics.parquet", stretch, *POINT_COLUMNS)
        spans = source.within("traces.parquet", stretch, *SPAN_COLUMNS)
        lines = source.within("logs.parquet", stretch, *LINE_COLUMNS)
        yield Hour(grid, *map(in_order_of_time, (points, spans, lines)))
        out.progress(done, len(parts))


def in_order_of_time(table: pa.Table) -> pa.Table:
    """The rows by their `time`; of one instant in the order that they had."""
    return table.take(column_array(np.argsort(values_of(table.column("time")), kind="stable")))


def by_kpi(points: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each KPI, in their order, of a table with a column `kpi_name`."""
    names = coded(points.column("kpi_name"))
    order = np.argsort(names.codes, kind="stable")
    for code, name in enumerate(names.texts):
        first, last = np.searchsorted(names.codes[order], [code, code + 1]).tolist()
        yield name, points.take(column_array(order[first:last]))


def local_day(second: int, pattern: str) -> str:
    """The day of a second, in their zone."""
    return datetime.fromtimestamp(second, LOCAL).strftime(pattern)


def local_text(second: int) -> str:
    """A second as their texts have it."""
    return datetime.fromtimestamp(second, LOCAL).strftime("%Y-%m-%d %H:%M:%S")
