"""The layout of the first MicroServo, without what was wrong in it.

::

    log/log.csv                        log_id, timestamp (s, fractions), date (UTC), cmdb_id (pod), message
    trace/trace.csv                    timestamp (us, the start), cmdb_id (service), duration (us), ...
    metric/container/kpi_<kpi>.csv     timestamp (s), cmdb_id (<node>.<pod>), kpi_name, value
    groundtruth/groundtruth.json       lists: timestamp (s), service, cmdb_id, failure_type, duration (s)

Rows are in order of time and have no index; times are UTC; every fault is in the ground truth, once for
each pod, from when it was applied until it was gone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from microservo.datasets.arrays import column_array, values_of
from microservo.datasets.formats.columns import coded, numbers_of, texts_of
from microservo.datasets.formats.distinct import distinct
from microservo.datasets.formats.fault_cases import FaultCases, note_controls
from microservo.datasets.formats.format import Export
from microservo.datasets.formats.long_tables import (
    FAILED,
    SPANS,
    Components,
    by_kpi,
    telemetry_hours,
)
from microservo.datasets.formats.names import file_name
from microservo.datasets.formats.source import Source
from microservo.datasets.formats.stretches import SECOND_US
from microservo.errors import InvalidInput

FAILURES = {"cpu-hog": "cpu", "memory-hog": "memory", "network-delay": "delay", "network-loss": "loss"}
"""Kinds that the first MicroServo has words of its own for."""
_LINES = pa.schema(
    [
        *(("log_id", pa.int64()), ("timestamp", pa.float64()), ("date", pa.string())),
        *(("cmdb_id", pa.string()), ("message", pa.string())),
    ]
)


class MicroServo:
    """The first MicroServo."""

    name: ClassVar[str] = "microservo"
    losses: ClassVar[Sequence[str]] = (
        "When a fault was commanded, seen and no longer seen, how severe it was, who else was affected.",
        "Fractions of a second of metrics.",
        "Instances of spans: cmdb_id of trace.csv is a service, as there.",
        "metric/istio: the counters of Istio are not measured.",
        "Status codes: status_code is 2 for a span that failed, 0 for another.",
        "Severities, templates and traces of lines, kinds and peers of spans, instances without a known host:"
        " their node is node-0. Metrics of hosts.",
        "Windows, features, labels, scores, who called whom, the ledger.",
    )

    def export(self, source: Source, out: Export) -> None:
        """All of a run in one folder."""
        found = FaultCases.of(source)
        if not found.until_us:
            msg = f"run {source.manifest.run.run_id} holds no window, so there is no time that it is of"
            raise InvalidInput(msg)
        components = Components.of(source, out)
        files = out.names.map("kpi file", distinct(source, "metrics.parquet", "name"), file_name)
        lines_before = 0
        for hour in telemetry_hours(source, found, out):
            for name, rows in by_kpi(components.points(hour.points, of_nodes=False)):
                out.csv(f"metric/container/kpi_{files[name]}.csv", rows)
            out.csv("trace/trace.csv", _spans(hour.spans, components))
            out.csv("log/log.csv", _lines(hour.lines, components, lines_before))
            lines_before += hour.lines.num_rows
        out.text("groundtruth/groundtruth.json", json.dumps(_truth(out, found, components), indent=2) + "\n")


FORMAT = MicroServo()


def _spans(spans: pa.Table, components: Components) -> pa.Table:
    service = coded(spans.column("service"))
    columns = [
        spans.column("start"),
        texts_of([components.services[name] for name in service.texts], service.codes),
        spans.column("span_id"),
        spans.column("trace_id"),
        spans.column("duration_us"),
        texts_of(*coded(spans.column("protocol"))),
        column_array(numbers_of(spans, "error").astype(np.int64) * FAILED),
        texts_of(*coded(spans.column("endpoint"))),
        spans.column("parent_id"),
    ]
    return pa.table(columns, schema=SPANS)


def _lines(lines: pa.Table, components: Components, first_id: int) -> pa.Table:
    time_us = values_of(lines.column("time"))
    columns = [
        column_array(np.arange(first_id, first_id + lines.num_rows, dtype=np.int64)),
        column_array(time_us / SECOND_US),
        pc.strftime(column_array(time_us, pa.timestamp("us")), "%Y-%m-%dT%H:%M:%SZ"),
        components.pods.column(lines),
        lines.column("body"),
    ]
    return pa.table(columns, schema=_LINES)


def _truth(out: Export, found: FaultCases, components: Components) -> Mapping[str, list[Any]]:
    types = out.names.map("failure type", (case.kind for case in found.harmful), str, FAILURES)
    truth: dict[str, list[Any]] = {
        name: [] for name in ("timestamp", "service", "cmdb_id", "failure_type", "duration")
    }
    note_controls(found, out)
    for case in found.harmful:
        if case.recovered_us is None:
            out.lost(
                f"Fault {case.fault_id} ({case.kind}): it was not seen to end, so a duration of it is null."
            )
        for instance, applied_us, ends_us in case.applied_to:
            truth["timestamp"].append(applied_us // SECOND_US)
            truth["service"].append(components.services[case.service])
            truth["cmdb_id"].append(components.pods.names[case.service, instance])
            truth["failure_type"].append(types[case.kind])
            truth["duration"].append(None if ends_us is None else (ends_us - applied_us) / SECOND_US)
    return truth
