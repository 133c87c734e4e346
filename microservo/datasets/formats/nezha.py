"""Nezha's layout: a file per minute and signal, a file of metrics per pod, faults by hour; times in UTC.

::

    construct_data/<date>/   minutes that no fault disturbed, and
    rca_data/<date>/         all others, each with
        log/HH_MM_log.csv            TimeUnixNano; Log is JSON of log, stream, time
        trace/HH_MM_trace.csv        StartTimeUnixNano, EndTimeUnixNano, Duration (us); ParentID or "root"
        traceid/HH_MM_traceid.csv    a trace id a line, without a title
        metric/<pod>_metric.csv      a row a minute
        metric/front_service.csv     a row a minute: requests to the services that no other calls
        metric/source_50.csv         a row a minute: median latency of calls, seconds, as their callers saw it
        metric/dependency.csv        who calls whom
    rca_data/<date>/<date>-fault_list.json   faults by hour
    construct_data/root_cause_microservo.json   which metric of a service shows a fault

A span or line is in the minute in which it ended.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from microservo.datasets.arrays import column_array, values_of
from microservo.datasets.formats.columns import coded, numbers_of, texts_of
from microservo.datasets.formats.distinct import services_by_kind
from microservo.datasets.formats.fault_cases import FaultCases, note_controls
from microservo.datasets.formats.format import Export
from microservo.datasets.formats.json_text import json_strings
from microservo.datasets.formats.minutes import by_minute, hours
from microservo.datasets.formats.names import file_name
from microservo.datasets.formats.nezha_metrics import MinuteMetrics, write_calls
from microservo.datasets.formats.nezha_run import Calls, NezhaRun
from microservo.datasets.formats.pods import Pods, pods_of
from microservo.datasets.formats.source import Source
from microservo.datasets.formats.stretches import SECOND_US, Stretches
from microservo.datasets.formats.telemetry_series import Grid
from microservo.errors import InvalidInput

FAULTS = {
    "cpu-hog": "cpu_contention",
    "network-delay": "network_delay",
    "app-exception": "exception",
    "wrong-answer": "return",
}
"""Kinds that Nezha has words of its own for."""
SHOWN_BY = {
    "cpu-hog": "CpuUsageRate(%)",
    "memory-hog": "MemoryUsageRate(%)",
    "network-delay": "NetworkP90(ms)",
}
"""Kinds that a metric which Nezha ranks shows."""
NORMAL, FAULTY = "construct_data", "rca_data"
_LINE_COLUMNS = ("time", "service", "instance", "trace_id", "span_id", "body")
_SPAN_COLUMNS = (
    *("time", "start", "duration_us", "service", "instance", "endpoint", "kind", "peer", "error"),
    *("trace_id", "span_id", "parent_id"),
)
_POINT_COLUMNS = ("time", "service", "instance", "name", "value")
_LOGS = pa.schema(
    [
        *(("Timestamp", pa.string()), ("TimeUnixNano", pa.int64()), ("Node", pa.string())),
        *(("PodName", pa.string()), ("Container", pa.string()), ("TraceID", pa.string())),
        *(("SpanID", pa.string()), ("Log", pa.string())),
    ]
)
_TRACES = pa.schema(
    [
        *(("TraceID", pa.string()), ("SpanID", pa.string()), ("ParentID", pa.string())),
        *(("PodName", pa.string()), ("OperationName", pa.string())),
        *(("StartTimeUnixNano", pa.int64()), ("EndTimeUnixNano", pa.int64()), ("Duration", pa.int64())),
    ]
)


class Nezha:
    """Nezha."""

    name: ClassVar[str] = "nezha"
    losses: ClassVar[Sequence[str]] = (
        "When a fault ended: fault_list.json has the second in which each was injected into each pod.",
        "Faults of less than three minutes for Nezha's own ranker: it looks at the second minute after "
        "that of the injection.",
        "Which lines stand around the code that a fault is in: root_cause_microservo.json has those faults"
        " alone that a metric shows, and Nezha's evaluation ends at the others.",
        "Who was affected besides, since when and by what evidence.",
        "Severities of lines, kinds, peers and errors of spans.",
        "SyscallRead, SyscallWrite, the share of a pod's memory limit and latencies as the callee saw them"
        " (destination_50.csv): they are not measured. CpuUsageRate(%) is of one processor,"
        " MemoryUsageRate(%) of the memory of the machine, where that is known.",
        "Metrics other than those that a Nezha file has a column for; those that it has are a row a minute.",
        "Windows, features, labels, scores, the ledger.",
    )

    def export(self, source: Source, out: Export) -> None:
        """A folder for each day, of minutes that a fault disturbed and of others."""
        found = FaultCases.of(source)
        if not found.until_us:
            msg = f"run {source.manifest.run.run_id} holds no window, so there are no minutes of it"
            raise InvalidInput(msg)
        kinds = services_by_kind(source)
        services = out.names.map("service", kinds, file_name)
        writer = _Writer(
            out=out,
            pods=pods_of(source, out, lambda service, number: f"{services[service]}-pod-{number}"),
            services=services,
            disturbed=found.disturbed,
            run=NezhaRun.of(source, kinds),
        )
        parts = list(hours(found.from_us, found.until_us))
        for done, (stretch, grid) in enumerate(parts, start=1):
            writer.write_hour(source, stretch, grid)
            out.progress(done, len(parts))
        if writer.without_ids:
            out.lost(f"{writer.without_ids} spans without a trace or an id of their own.")
        if not any(folder == NORMAL for folder, _ in writer.days):
            out.lost(f"A minute that no fault disturbed: there is none, so that {NORMAL} has no telemetry.")
        calls = Calls.of(source, services)
        for folder, day in sorted(writer.days):
            write_calls(out, f"{folder}/{day}/metric", calls)
        _write_faults(out, found, writer)


FORMAT = Nezha()


@dataclass(kw_only=True)
class _Writer:
    """Writes minutes where they belong.

    Attributes:
        days: folder and date of all that was written.
        without_ids: spans that were left out.
    """

    out: Export
    pods: Pods
    services: Mapping[str, str]
    disturbed: Stretches
    run: NezhaRun
    days: set[tuple[str, str]] = field(default_factory=set)
    without_ids: int = 0

    def write_hour(self, source: Source, stretch: Stretches, grid: Grid) -> None:
        lines = source.within("logs.parquet", stretch, *_LINE_COLUMNS)
        spans = source.within("traces.parquet", stretch, *_SPAN_COLUMNS)
        points = source.within("metrics.parquet", stretch, *_POINT_COLUMNS)
        known = pc.and_(pc.is_valid(spans.column("trace_id")), pc.is_valid(spans.column("span_id")))
        whole = spans.filter(known)
        self.without_ids += spans.num_rows - whole.num_rows
        lines_of, spans_of = dict(by_minute(lines, grid)), dict(by_minute(whole, grid))
        for minute_s in grid.starts_s.tolist():
            folder, clock = self._folder(minute_s), datetime.fromtimestamp(minute_s, UTC).strftime("%H_%M")
            own = spans_of.get(minute_s, spans.slice(0, 0))
            self.out.csv(
                f"{folder}/log/{clock}_log.csv", self._lines(lines_of.get(minute_s, lines.slice(0, 0)))
            )
            self.out.csv(f"{folder}/trace/{clock}_trace.csv", self._spans(own))
            ids = coded(own.column("trace_id")).texts
            self.out.text(f"{folder}/traceid/{clock}_traceid.csv", "".join(f"{each}\n" for each in ids))
        folders = [self._folder(minute_s) for minute_s in grid.starts_s.tolist()]
        points = points.append_column("pod", self.pods.column(points))
        spans = spans.append_column("pod", self.pods.column(spans))
        MinuteMetrics(
            out=self.out,
            folders=folders,
            grid=grid,
            points=points,
            spans=spans,
            run=self.run,
            services=self.services,
        ).write()

    def _folder(self, minute_s: int) -> str:
        from_us = minute_s * SECOND_US
        folder = FAULTY if self.disturbed.overlap(from_us, from_us + 60 * SECOND_US) else NORMAL
        day = datetime.fromtimestamp(minute_s, UTC).strftime("%Y-%m-%d")
        self.days.add((folder, day))
        return f"{folder}/{day}"

    def _lines(self, lines: pa.Table) -> pa.Table:
        time_us = values_of(lines.column("time"))
        text = pc.strftime(column_array(time_us, pa.timestamp("us")), "%Y-%m-%dT%H:%M:%SZ")
        log = pc.binary_join_element_wise(
            '{"log":"', json_strings(lines.column("body")), '\\n","stream":"stdout","time":"', text, '"}', ""
        )
        service = coded(lines.column("service"))
        columns = [
            text,
            column_array(time_us * 1000),
            self.pods.host_column(lines),
            self.pods.column(lines),
            texts_of([self.services[each] for each in service.texts], service.codes),
            lines.column("trace_id"),
            lines.column("span_id"),
            log,
        ]
        return pa.table(columns, schema=_LOGS)

    def _spans(self, spans: pa.Table) -> pa.Table:
        start_us, duration_us = values_of(spans.column("start")), numbers_of(spans, "duration_us")
        columns = [
            spans.column("trace_id"),
            spans.column("span_id"),
            pc.fill_null(spans.column("parent_id"), "root"),
            self.pods.column(spans),
            texts_of(*coded(spans.column("endpoint"))),
            column_array(start_us * 1000),
            column_array((start_us + duration_us) * 1000),
            column_array(duration_us),
        ]
        return pa.table(columns, schema=_TRACES)


def _write_faults(out: Export, found: FaultCases, writer: _Writer) -> None:
    kinds = out.names.map("fault", {case.kind for case in found.harmful}, _fault_type, FAULTS)
    days: dict[str, dict[str, list[dict[str, str]]]] = {day: {} for _, day in writer.days}
    causes: dict[str, dict[str, str]] = {}
    note_controls(found, out)
    for case in found.harmful:
        for instance, applied_us, _ in case.applied_to:
            at = datetime.fromtimestamp(applied_us // SECOND_US, UTC)
            by_hour = days.setdefault(at.strftime("%Y-%m-%d"), {})
            by_hour.setdefault(at.strftime("%H"), []).append(
                {
                    "inject_time": at.strftime("%Y-%m-%d %H:%M:%S"),
                    "inject_timestamp": str(applied_us // SECOND_US),
                    "inject_pod": writer.pods.names[case.service, instance],
                    "inject_type": kinds[case.kind],
                }
            )
        if case.kind in SHOWN_BY:
            causes.setdefault(writer.services[case.service], {})[kinds[case.kind]] = SHOWN_BY[case.kind]
    for day, faults in sorted(days.items()):
        out.text(f"{FAULTY}/{day}/{day}-fault_list.json", _json(faults))
    out.text(f"{NORMAL}/root_cause_microservo.json", _json(causes))


def _fault_type(kind: str) -> str:
    return file_name(kind).replace("-", "_")


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=4) + "\n"
