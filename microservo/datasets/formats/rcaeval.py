"""RCAEval's RE2 layout: a folder per fault, with the sources that its methods read.

::

    <service>_<fault>/<n>/
        inject_time.txt       epoch seconds, in UTC as all that follows
        simple_metrics.csv    time (s), <service>_cpu, _mem, _workload, _error, ...; a row a second
        metrics.parquet       the same with every metric
        logs.csv              timestamp (ns), container_name, message, level, log_template
        traces.csv            startTime (us), duration (us), ...; a row per span
        logts.csv             time (s), lines per service and template; a row every 15 s
        tracets_err.csv       time (s), failed spans per service and operation; likewise
        tracets_lat.csv       time (s), mean duration (us) per service and operation; likewise
    cases.csv                 what each folder is of, and what its name leaves out

In front of the fault stand the newest seconds that no fault disturbed, so that there may be gaps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from microservo.datasets.arrays import column_array, values_of
from microservo.datasets.formats.columns import Int64, coded, numbers_of, texts_of, wide_table
from microservo.datasets.formats.distinct import distinct, log_levels, services_by_kind
from microservo.datasets.formats.fault_cases import FaultCase, FaultCases, note_controls
from microservo.datasets.formats.format import Export
from microservo.datasets.formats.names import file_name
from microservo.datasets.formats.source import Source
from microservo.datasets.formats.stretches import SECOND_US, Stretches
from microservo.datasets.formats.telemetry_series import (
    METRIC_COLUMNS,
    REQUEST_SERIES,
    Grid,
    Series,
    log_series,
    metric_series,
    operation_series,
    request_series,
)
from microservo.errors import InvalidInput

BIN_S = 15
"""Length of a bin of the series of logs and traces: every 15th row of metrics is compared with them."""
MOST_S = 600
"""Seconds that the harness reads on each side of the injection."""
FAULTS = {
    "cpu-hog": "cpu",
    "memory-hog": "mem",
    "disk-slow": "disk",
    "network-delay": "delay",
    "network-loss": "loss",
}
"""Kinds that RCAEval has words of its own for; it adds up the scores of these alone."""
METRICS = {
    "cpu": ("process.cpu.utilization", "container_cpu_usage_seconds_total", "container.cpu.usage"),
    "mem": ("process.memory.usage", "container_memory_working_set_bytes", "container.memory.usage"),
    "diskio": ("container_fs_writes_bytes_total",),
    "socket": ("network.connections.open", "container_sockets"),
}
"""Metrics that RCAEval has words of its own for: the first one that the run has is called so."""
_FAILED_STATUS = 2
"""OpenTelemetry's number of a span that failed; 0 is one that did not say so."""
_LINE_COLUMNS = ("time", "service", "template", "severity", "body")
_SPAN_COLUMNS = (
    *("time", "start", "duration_us", "service", "endpoint", "kind", "error"),
    *("trace_id", "span_id", "parent_id"),
)


@dataclass(frozen=True, slots=True, eq=False)
class _Times:
    """What a case holds: whole seconds with metrics, and bins with counts of logs and spans."""

    inject_s: int
    seconds: Grid
    bins: Grid

    @property
    def all(self) -> Stretches:
        """The time of both."""
        both = (self.seconds.stretches, self.bins.stretches)
        return Stretches.of(
            pair for each in both for pair in zip(each.from_us.tolist(), each.until_us.tolist(), strict=True)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    """What is written for names."""

    services: Mapping[str, str]
    metrics: Mapping[str, str]
    operations: Mapping[str, str]
    templates: Mapping[str, str]
    faults: Mapping[str, str]
    hosts: frozenset[str]


class RcaEval:
    """RCAEval RE2, single and multi-source."""

    name: ClassVar[str] = "rcaeval"
    losses: ClassVar[Sequence[str]] = (
        "When a fault was rid of, and when it had no effect any more: a case has the second of its injection"
        " alone; the rest is in cases.csv.",
        "Who was affected besides the root cause, since when and by what evidence.",
        "Microseconds: metrics are a row a second, the mean of the points of all instances in it.",
        "Instances: series are of services, and the truth is one, too.",
        "Time between the seconds in front of a fault: those that another fault disturbed are left out.",
        "Faults of kinds other than cpu, mem, disk, delay and loss are run, but RCAEval adds up no score of"
        " them.",
        "Metrics, logs and spans of hosts: they are no candidates for a root cause.",
        "Of spans their kind, peer and protocol; of lines their trace and span.",
        "Windows, features, labels, scores, who called whom, the ledger.",
    )

    def export(self, source: Source, out: Export) -> None:
        """A folder for each fault that was in force and harms something."""
        found = FaultCases.of(source)
        note_controls(found, out)
        times = {case.fault_id: _times(case, found) for case in found.harmful}
        for case in found.harmful:
            if times[case.fault_id] is None:
                out.lost(
                    f"Fault {case.fault_id} ({case.kind} at {case.service}): there are fewer than {BIN_S}"
                    " seconds before it that no fault disturbed."
                )
        cases = [(case, time) for case in found.harmful if (time := times[case.fault_id]) is not None]
        if not cases:
            msg = (
                f"run {source.manifest.run.run_id} holds no fault with {BIN_S} undisturbed seconds before it,"
                " and RCAEval's cases are such; choose a run with faults"
            )
            raise InvalidInput(msg)
        written = _written(source, found, out)
        numbers: Counter[str] = Counter()
        index = []
        for done, (case, time) in enumerate(cases):
            out.progress(done, len(cases))
            folder = f"{written.services[case.service]}_{written.faults[case.kind]}"
            numbers[folder] += 1
            place = f"{folder}/{numbers[folder]}"
            metrics = _write_case(source, out, place, time, written)
            index.append(_index_row(place, case, time, found, written) | {"n_metrics": metrics})
        out.progress(len(cases), len(cases))
        out.csv("cases.csv", pa.Table.from_pylist(index, schema=_INDEX))


FORMAT = RcaEval()

_INDEX = pa.schema(
    [
        *(("case", pa.string()), ("root_cause_service", pa.string()), ("fault", pa.string())),
        *(("inject_time", pa.int64()), ("n_metrics", pa.int64())),
        *(("fault_id", pa.string()), ("kind", pa.string()), ("service", pa.string())),
        *(("instances", pa.string()), ("severity", pa.float64()), ("verdict", pa.string())),
        *(("applied_us", pa.int64()), ("recovered_us", pa.int64()), ("ended_us", pa.int64())),
        ("faults_beside", pa.string()),
    ]
)


def _times(case: FaultCase, found: FaultCases) -> _Times | None:
    """What the case of a fault holds; None where there is no time to compare it with."""
    inject_s = case.applied_us // SECOND_US
    seconds, touched = found.disturbed.seconds_between(found.from_us, inject_s * SECOND_US)
    quiet = seconds[~touched][-MOST_S:]
    # Of every 15th row, one has to be the first of the fault.
    quiet = quiet[len(quiet) % BIN_S :]
    if not len(quiet):
        return None
    end_s = min(-(-case.ended_us // SECOND_US), found.until_us // SECOND_US)
    length_s = max(1, min(MOST_S, end_s - inject_s))
    faulty = np.arange(inject_s, inject_s + length_s, dtype=np.int64)
    return _Times(
        inject_s=inject_s,
        seconds=Grid(np.concatenate((quiet, faulty)), 1),
        bins=Grid(np.concatenate((_quiet_bins(seconds[~touched], inject_s), faulty[::BIN_S])), BIN_S),
    )


def _quiet_bins(quiet: Int64, inject_s: int) -> Int64:
    """The newest bins before the injection of which no second was disturbed."""
    places, counts = np.unique((inject_s - 1 - quiet) // BIN_S, return_counts=True)
    whole = places[counts == BIN_S][: MOST_S // BIN_S]
    found: Int64 = inject_s - (whole[::-1] + 1) * BIN_S
    return found


def _written(source: Source, found: FaultCases, out: Export) -> _Written:
    kinds = services_by_kind(source)
    metrics = distinct(source, "metrics.parquet", "name")
    templates = sorted(distinct(source, "logs.parquet", "template"))
    number = {template: place for place, template in enumerate(templates, start=1)}
    own = {
        next(each for each in names if each in metrics): word
        for word, names in METRICS.items()
        if not metrics.isdisjoint(names)
    }
    return _Written(
        services=out.names.map("service", kinds, _service_name),
        metrics=out.names.map("metric", metrics, _plain, own, reserved=REQUEST_SERIES),
        operations=out.names.map("operation", distinct(source, "traces.parquet", "endpoint"), _plain),
        templates=out.names.map("log template", templates, lambda each: f"log-{number[each]}"),
        faults=out.names.map("fault", (case.kind for case in found.harmful), _plain, FAULTS),
        hosts=frozenset(name for name, kind in kinds.items() if kind == "host"),
    )


def _service_name(name: str) -> str:
    # The harness takes "-db" out of what a method ranks, and then looks for the name with it.
    return _plain(name).replace("-db", ".db")


def _plain(name: str) -> str:
    """Without the underscore that parts a service from what is said of it."""
    return file_name(name, extra=".")


def _write_case(source: Source, out: Export, place: str, times: _Times, written: _Written) -> int:
    """Writes the files of a case, and returns how many metrics it has."""
    points = source.within("metrics.parquet", times.seconds.stretches, *METRIC_COLUMNS)
    lines = source.within("logs.parquet", times.all, *_LINE_COLUMNS)
    spans = source.within("traces.parquet", times.all, *_SPAN_COLUMNS)
    points, lines, spans = (_without(each, written.hosts) for each in (points, lines, spans))
    requests = request_series(spans, times.seconds)
    metrics = _named(metric_series(points, times.seconds), written.services, written.metrics)
    every = _named(requests, written.services, {each: each for each in REQUEST_SERIES}).beside(metrics)
    golden = {*METRICS, *REQUEST_SERIES}
    out.text(f"{place}/inject_time.txt", f"{times.inject_s}\n")
    out.csv(f"{place}/simple_metrics.csv", _wide(every, times.seconds, golden))
    pq.write_table(_wide(every, times.seconds), out.path(f"{place}/metrics.parquet"), compression="zstd")
    in_bins = {
        "logts": _named(log_series(lines, times.bins), written.services, written.templates),
        **{
            name: _named(series, written.services, written.operations)
            for name, series in zip(
                ("tracets_err", "tracets_lat"), operation_series(spans, times.bins), strict=True
            )
        },
    }
    for name, series in in_bins.items():
        out.csv(f"{place}/{name}.csv", _wide(series, times.bins))
    out.csv(f"{place}/logs.csv", _lines(lines, written))
    out.csv(f"{place}/traces.csv", _spans(spans, written))
    return len(every.columns)


def _without(table: pa.Table, hosts: frozenset[str]) -> pa.Table:
    service = coded(table.column("service"))
    is_host = np.array([name in hosts for name in service.texts], np.bool_)
    if not is_host.any():
        return table
    return table.filter(column_array(~is_host[service.codes], pa.bool_()))


def _named(series: Series, services: Mapping[str, str], names: Mapping[str, str]) -> Series:
    return Series([(services[service], names[name]) for service, name in series.columns], series.values)


def _wide(series: Series, grid: Grid, only: set[str] | None = None) -> pa.Table:
    """A column for each service and name, in the order of both."""
    order = sorted(range(len(series.columns)), key=series.columns.__getitem__)
    kept = [place for place in order if only is None or series.columns[place][1] in only]
    names = ["_".join(series.columns[place]) for place in kept]
    return wide_table(grid.starts_s, names, series.values[:, kept])


def _lines(lines: pa.Table, written: _Written) -> pa.Table:
    time_us = values_of(lines.column("time"))
    return pa.table(
        {
            "timestamp": column_array(time_us * 1000),
            "container_name": _mapped(lines, "service", written.services),
            "message": lines.column("body"),
            "level": log_levels(numbers_of(lines, "severity")),
            "log_template": texts_of(*coded(lines.column("template"))),
        }
    )


def _spans(spans: pa.Table, written: _Written) -> pa.Table:
    start_us = values_of(spans.column("start"))
    operation = texts_of(*coded(spans.column("endpoint")))
    failed = numbers_of(spans, "error").astype(np.int64)
    return pa.table(
        {
            "time": column_array(start_us // SECOND_US),
            "traceID": spans.column("trace_id"),
            "spanID": spans.column("span_id"),
            "serviceName": _mapped(spans, "service", written.services),
            "methodName": operation,
            "operationName": operation,
            "startTimeMillis": column_array(start_us // 1000),
            "startTime": column_array(start_us),
            "duration": spans.column("duration_us"),
            "statusCode": column_array(failed * _FAILED_STATUS),
            "parentSpanID": spans.column("parent_id"),
        }
    )


def _mapped(table: pa.Table, column: str, names: Mapping[str, str]) -> pa.Array:
    texts, codes = coded(table.column(column))
    return texts_of([names[text] for text in texts], codes)


def _index_row(
    place: str, case: FaultCase, times: _Times, found: FaultCases, written: _Written
) -> dict[str, Any]:
    return {
        "case": place,
        "root_cause_service": written.services[case.service],
        "fault": written.faults[case.kind],
        "inject_time": times.inject_s,
        "fault_id": case.fault_id,
        "kind": case.kind,
        "service": case.service,
        "instances": " ".join(case.instances),
        "severity": case.severity,
        "verdict": case.verdict,
        "applied_us": case.applied_us,
        "recovered_us": case.recovered_us,
        "ended_us": case.ended_us,
        "faults_beside": " ".join(each.fault_id for each in found.beside(case)),
    }
