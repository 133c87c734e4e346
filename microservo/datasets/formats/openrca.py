"""OpenRCA's layout, that of its system Market; days and texts in UTC+8, as there.

::

    record.csv                          level, component, timestamp (s), datetime, reason
    query.csv                           task_index, instruction, scoring_points
    telemetry/YYYY_MM_DD/
        metric/metric_container.csv     timestamp (s), cmdb_id (<node>.<pod>), kpi_name, value
        metric/metric_node.csv          likewise of nodes
        metric/metric_service.csv       service, timestamp (s), rr, sr (%), mrt (ms), count; a row a minute
        trace/trace_span.csv            timestamp (ms), duration (us), ...
        log/log_service.csv             log_id, timestamp (s), cmdb_id, log_name, value
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from microservo.datasets.arrays import array_of
from microservo.datasets.formats.fault_cases import FaultCases, note_controls
from microservo.datasets.formats.format import Export
from microservo.datasets.formats.long_tables import (
    Components,
    RootCause,
    local_day,
    local_text,
    telemetry_hours,
)
from microservo.datasets.formats.source import Source
from microservo.errors import InvalidInput

REASONS = {
    "cpu-hog": "container CPU load",
    "memory-hog": "container memory load",
    "network-delay": "container network latency",
    "network-loss": "container packet loss",
    "network-corrupt": "container network packet corruption",
    "process-kill": "container process termination",
}
"""Kinds that OpenRCA has words of its own for."""
HALF_HOUR_S = 1800
_RECORDS = pa.schema(
    [
        *(("level", pa.string()), ("component", pa.string()), ("timestamp", pa.int64())),
        *(("datetime", pa.string()), ("reason", pa.string())),
    ]
)
_ASKED = {
    "time": "the root cause occurrence time",
    "component": "the root cause component",
    "reason": "the root cause reason",
}
_TASKS: Sequence[tuple[str, ...]] = (
    ("time",),
    ("reason",),
    ("component",),
    ("time", "reason"),
    ("time", "component"),
    ("component", "reason"),
    ("component", "time", "reason"),
)
"""What each task asks for, from task_1 to task_7, in the order of OpenRCA's specification."""


@dataclass(frozen=True, slots=True)
class _Record:
    cause: RootCause
    reason: str

    def points(self, which: str, asked: Sequence[str]) -> Iterator[str]:
        """What an answer has to have, in the words that OpenRCA's scorer looks for."""
        for each in asked:
            if each == "time":
                yield (
                    f"The {which} root cause occurrence time is within 1 minutes (i.e., <=1min) of "
                    f"{local_text(self.cause.timestamp)}"
                )
            else:
                found = self.cause.component if each == "component" else self.reason
                yield f"The {which} predicted root cause {each} is {found}"


class OpenRca:
    """OpenRCA."""

    name: ClassVar[str] = "openrca"
    losses: ClassVar[Sequence[str]] = (
        "When a fault ended, and who was affected besides.",
        "Fractions of a second of metrics and lines, of a millisecond of spans.",
        "metric_mesh.csv, metric_runtime.csv and log_proxy.csv: what they hold is not measured apart from the"
        " rest. Nor is rr, the share of requests that were answered.",
        "The words of a language model: an instruction says the same thing each time. Which of the seven "
        "tasks is asked goes in turn.",
        "Status codes: status_code is 2 for a span that failed, 0 for another.",
        "Severities, templates and traces of lines, kinds and peers of spans, instances without a known host:"
        " their node is node-0.",
        "Windows, features, labels, scores, who called whom, the ledger.",
    )

    def export(self, source: Source, out: Export) -> None:
        """Records and queries of all faults, and telemetry day by day."""
        found = FaultCases.of(source)
        if not found.harmful:
            msg = f"run {source.manifest.run.run_id} holds no fault in force, and OpenRCA asks for those"
            raise InvalidInput(msg)
        components = Components.of(source, out)
        # The scorer compares texts that end with the line.
        reasons = out.names.map(
            "reason", (case.kind for case in found.harmful), lambda kind: " ".join(kind.split()), REASONS
        )
        note_controls(found, out)
        records = [
            _Record(cause, reasons[case.kind]) for case in found.harmful for cause in components.causes(case)
        ]
        records.sort(key=lambda each: (each.cause.timestamp, each.cause.component, each.reason))
        out.csv("record.csv", _records(records))
        out.csv("query.csv", _queries(records))
        _write_telemetry(source, out, found, components)


FORMAT = OpenRca()


def _records(records: Sequence[_Record]) -> pa.Table:
    columns = [
        array_of([each.cause.level for each in records], pa.string()),
        array_of([each.cause.component for each in records], pa.string()),
        array_of([each.cause.timestamp for each in records], pa.int64()),
        array_of([local_text(each.cause.timestamp) for each in records], pa.string()),
        array_of([each.reason for each in records], pa.string()),
    ]
    return pa.table(columns, schema=_RECORDS)


def _queries(records: Sequence[_Record]) -> pa.Table:
    rows: list[Mapping[str, str]] = []
    for number, record in enumerate(records):
        # Of all that happened in one half hour, a question is about all.
        half_hour = record.cause.timestamp // HALF_HOUR_S
        together = [each for each in records if each.cause.timestamp // HALF_HOUR_S == half_hour]
        task = number % len(_TASKS)
        which = ["only"] if len(together) == 1 else [f"{place}-th" for place in range(1, len(together) + 1)]
        points = [
            line
            for name, each in zip(which, together, strict=True)
            for line in each.points(name, _TASKS[task])
        ]
        begin = local_text(half_hour * HALF_HOUR_S)
        end = local_text((half_hour + 1) * HALF_HOUR_S)
        asked = ", ".join(_ASKED[each] for each in _TASKS[task])
        count = "one failure was" if len(together) == 1 else f"{len(together)} failures were"
        rows.append(
            {
                "task_index": f"task_{task + 1}",
                "instruction": f"Between {begin} and {end} (UTC+8), {count} observed. Find {asked}.",
                "scoring_points": "".join(f"{line}\n" for line in points),
            }
        )
    schema = pa.schema([(name, pa.string()) for name in ("task_index", "instruction", "scoring_points")])
    return pa.Table.from_pylist(rows, schema=schema)


def _write_telemetry(source: Source, out: Export, found: FaultCases, components: Components) -> None:
    lines_before = 0
    for hour in telemetry_hours(source, found, out):
        folder = f"telemetry/{local_day(int(hour.grid.starts_s[0]), '%Y_%m_%d')}"
        out.csv(f"{folder}/metric/metric_container.csv", components.points(hour.points, of_nodes=False))
        out.csv(f"{folder}/metric/metric_node.csv", components.points(hour.points, of_nodes=True))
        out.csv(f"{folder}/metric/metric_service.csv", components.minutes(hour.spans, hour.grid))
        out.csv(f"{folder}/trace/trace_span.csv", components.spans(hour.spans))
        out.csv(f"{folder}/log/log_service.csv", components.lines(hour.lines, lines_before))
        lines_before += hour.lines.num_rows
