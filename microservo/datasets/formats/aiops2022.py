"""The layout of the AIOps challenge of 2022; days are of UTC+8, as there.

::

    groundtruth/groundtruth-k8s-1-<day>.csv     timestamp (s), level, cmdb_id, failure_type
    tar/<day>-cloudbed1/
        metric/container/kpi_<kpi>.csv          timestamp (s), cmdb_id (<node>.<pod>), kpi_name, value
        metric/node/kpi_<kpi>.csv               likewise of nodes
        metric/service/metric_service.csv       service, timestamp (s), rr, sr (%), mrt (ms), count
        trace/all/trace_jaeger-span.csv         timestamp (ms), duration (us), ...
        log/all/log_filebeat-testbed-log-service.csv   log_id, timestamp (s), cmdb_id, log_name, value
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import pyarrow as pa

from microservo.datasets.arrays import array_of
from microservo.datasets.formats.distinct import distinct
from microservo.datasets.formats.fault_cases import FaultCases, note_controls
from microservo.datasets.formats.format import Export
from microservo.datasets.formats.long_tables import (
    Components,
    RootCause,
    by_kpi,
    local_day,
    telemetry_hours,
)
from microservo.datasets.formats.names import file_name
from microservo.datasets.formats.source import Source
from microservo.errors import InvalidInput

FAILURES = {
    "cpu-hog": "k8s容器cpu负载",
    "memory-hog": "k8s容器内存负载",
    "network-delay": "k8s容器网络延迟",
    "network-loss": "k8s容器网络丢包",
    "network-corrupt": "k8s容器网络资源包损坏",
    "process-kill": "k8s容器进程中止",
}
"""Kinds that the challenge has words of its own for."""
_TRUTH = pa.schema(
    [
        *(("timestamp", pa.int64()), ("level", pa.string())),
        *(("cmdb_id", pa.string()), ("failure_type", pa.string())),
    ]
)
_DAY = "%Y-%m-%d"


class Aiops2022:
    """The AIOps challenge of 2022."""

    name: ClassVar[str] = "aiops2022"
    losses: ClassVar[Sequence[str]] = (
        "When a fault ended, and who was affected besides.",
        "Fractions of a second of metrics and lines, of a millisecond of spans.",
        "metric/istio, metric/jvm and log_filebeat-testbed-log-envoy.csv: what they hold is not measured "
        "apart from the rest. Nor is rr, the share of requests that were answered.",
        "Status codes: status_code is 2 for a span that failed, 0 for another.",
        "Severities, templates and traces of lines, kinds and peers of spans, instances without a known host:"
        " their node is node-0.",
        "Kinds that the challenge does not know keep their names: its submissions are scored on its own.",
        "Windows, features, labels, scores, who called whom, the ledger.",
    )

    def export(self, source: Source, out: Export) -> None:
        """Ground truth and telemetry, day by day."""
        found = FaultCases.of(source)
        if not found.until_us:
            msg = f"run {source.manifest.run.run_id} holds no window, so there are no days of it"
            raise InvalidInput(msg)
        components = Components.of(source, out)
        files = out.names.map("kpi file", distinct(source, "metrics.parquet", "name"), file_name)
        lines_before, days = 0, set()
        for hour in telemetry_hours(source, found, out):
            day = local_day(int(hour.grid.starts_s[0]), _DAY)
            days.add(day)
            folder = f"tar/{day}-cloudbed1"
            for level, of_nodes in (("container", False), ("node", True)):
                for name, rows in by_kpi(components.points(hour.points, of_nodes=of_nodes)):
                    out.csv(f"{folder}/metric/{level}/kpi_{files[name]}.csv", rows)
            out.csv(f"{folder}/metric/service/metric_service.csv", components.minutes(hour.spans, hour.grid))
            out.csv(f"{folder}/trace/all/trace_jaeger-span.csv", components.spans(hour.spans))
            log = f"{folder}/log/all/log_filebeat-testbed-log-service.csv"
            out.csv(log, components.lines(hour.lines, lines_before))
            lines_before += hour.lines.num_rows
        _write_truth(out, found, components, days)


FORMAT = Aiops2022()


def _write_truth(out: Export, found: FaultCases, components: Components, days: set[str]) -> None:
    types = out.names.map("failure type", (case.kind for case in found.harmful), str, FAILURES)
    causes: dict[str, list[tuple[RootCause, str]]] = {day: [] for day in days}
    note_controls(found, out)
    for case in found.harmful:
        for cause in components.causes(case):
            day = local_day(cause.timestamp, _DAY)
            causes.setdefault(day, []).append((cause, types[case.kind]))
    for day, rows in causes.items():
        rows.sort(key=lambda each: (each[0].timestamp, each[0].component, each[1]))
        columns = [
            array_of([cause.timestamp for cause, _ in rows], pa.int64()),
            array_of([cause.level for cause, _ in rows], pa.string()),
            array_of([cause.component for cause, _ in rows], pa.string()),
            array_of([kind for _, kind in rows], pa.string()),
        ]
        out.csv(f"groundtruth/groundtruth-k8s-1-{day}.csv", pa.table(columns, schema=_TRUTH))
