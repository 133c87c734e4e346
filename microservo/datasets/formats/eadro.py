"""Eadro's layout, that of its SocialNetwork (SN); times of lines and spans are those of UTC+8, as there.

::

    data/SN.<start>/
        metrics/<service>.csv    timestamp (s, UTC), seven columns; a row for every second, without gaps
        logs.json                lines by service: "[2022-Apr-17 10:12:50.490796] <info>: ..." in UTC+8
        spans.json               traces as Jaeger has them; startTime (us) is eight hours late, duration (us)
    data/SN.fault-<start>.json   start and end of the run, and faults: name, fault, start, duration (s)

Where a second has no value, it has the last one before it, and the first one has zero: Eadro's code wants a
number in every second.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import IO, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from microservo.datasets.arrays import column_array, values_of
from microservo.datasets.formats.columns import Float64, coded, numbers_of, texts_of
from microservo.datasets.formats.csv_files import CsvFile
from microservo.datasets.formats.distinct import log_levels, services_by_kind
from microservo.datasets.formats.fault_cases import FaultCases, note_controls
from microservo.datasets.formats.format import Export
from microservo.datasets.formats.json_text import json_strings
from microservo.datasets.formats.minutes import HOUR_S, hours
from microservo.datasets.formats.names import file_name
from microservo.datasets.formats.source import Source
from microservo.datasets.formats.stretches import SECOND_US, Stretches
from microservo.datasets.formats.telemetry_series import METRIC_COLUMNS, Grid, metric_series
from microservo.datasets.formats.window_series import filled
from microservo.errors import InvalidInput

FAULTS = {"cpu-hog": "cpu_load", "network-delay": "network_delay", "network-loss": "network_loss"}
"""Kinds that Eadro has words of its own for."""
METRICS: Mapping[str, tuple[str, ...]] = {
    "cpu_usage_system": ("container_cpu_system_seconds_total",),
    "cpu_usage_total": (
        *("process.cpu.utilization", "container_cpu_usage_seconds_total", "container.cpu.usage"),
    ),
    "cpu_usage_user": ("container_cpu_user_seconds_total",),
    "memory_usage": ("process.memory.usage", "container_memory_usage_bytes", "container.memory.usage"),
    "memory_working_set": ("container_memory_working_set_bytes",),
    "rx_bytes": ("network.io.receive_bytes", "container_network_receive_bytes_total"),
    "tx_bytes": ("network.io.transmit_bytes", "container_network_transmit_bytes_total"),
}
"""Eadro's seven columns, and what they hold: the first metric that a service has."""
_LATE_US = 8 * HOUR_S * SECOND_US
_LINE_COLUMNS = ("time", "service", "severity", "body")
_SPAN_COLUMNS = (
    *("time", "start", "duration_us", "service", "endpoint", "trace_id", "span_id", "parent_id"),
)
_ROWS = pa.schema([("timestamp", pa.int64()), *((name, pa.float64()) for name in METRICS)])


class Eadro:
    """Eadro."""

    name: ClassVar[str] = "eadro"
    losses: ClassVar[Sequence[str]] = (
        f"Metrics other than {', '.join(METRICS)}.",
        "Whether one of these was measured at all: what was not has zeros.",
        "Gaps: a second without a value has the last one before it.",
        "Instances: everything is of services. Hosts are left out.",
        "Lines of a message behind the first: Eadro's reader takes the first one of each.",
        "Traces and templates of lines; kinds, peers and failures of spans.",
        "When a fault was seen and no longer seen, how severe it was, and who else was affected.",
        "Windows, features, labels, scores, who called whom, the ledger.",
    )

    def export(self, source: Source, out: Export) -> None:
        """One run: its telemetry in a folder, its faults beside it."""
        found = FaultCases.of(source)
        if not found.until_us:
            msg = f"run {source.manifest.run.run_id} holds no window, so there is no time that it is of"
            raise InvalidInput(msg)
        kinds = services_by_kind(source)
        services = out.names.map("service", kinds, file_name)
        start = datetime.fromtimestamp(found.from_us // SECOND_US, UTC).strftime("%Y-%m-%dT%H%M%S")
        own = [name for name, kind in kinds.items() if kind != "host"]
        parts = list(hours(found.from_us, found.until_us))
        folder = f"data/SN.{start}"
        metrics = _MetricFiles(out, f"{folder}/metrics", {name: services[name] for name in own})
        with ExitStack() as stack:
            lines = {name: stack.enter_context(tempfile.TemporaryFile()) for name in own}
            spans = stack.enter_context(out.path(f"{folder}/spans.json").open("wb"))
            spans.write(b"[")
            for done, (stretch, minutes) in enumerate(parts, start=1):
                seconds = _seconds(found, minutes)
                points = source.within("metrics.parquet", seconds.stretches, *METRIC_COLUMNS)
                metrics.write(points, seconds)
                _write_lines(source, stretch, services, lines)
                for number, trace in enumerate(_traces(source, stretch, services)):
                    spans.write((b"" if done == 1 and not number else b",\n") + trace)
                out.progress(done, len(parts))
            spans.write(b"]\n")
            _join_lines(out, f"{folder}/logs.json", services, lines)
        _write_faults(out, f"data/SN.fault-{start}.json", found, services)


FORMAT = Eadro()


def _seconds(found: FaultCases, minutes: Grid) -> Grid:
    """The seconds of some minutes that lie in the run."""
    first, end = int(minutes.starts_s[0]), int(minutes.starts_s[-1]) + minutes.length_s
    first = max(first, found.from_us // SECOND_US)
    end = min(end, -(-found.until_us // SECOND_US))
    return Grid(np.arange(first, end, dtype=np.int64), 1)


class _MetricFiles:
    """The files of metrics, which grow second by second.

    Args:
        out: takes them.
        folder: theirs.
        services: those that have one, and what is written for each.
    """

    def __init__(self, out: Export, folder: str, services: Mapping[str, str]) -> None:
        self._paths = {name: out.path(f"{folder}/{written}.csv") for name, written in services.items()}
        self._last: dict[str, Float64] = {name: np.zeros(len(METRICS)) for name in services}

    def write(self, points: pa.Table, grid: Grid) -> None:
        """Adds the seconds of a grid to each."""
        series = metric_series(points, grid)
        values = {column: series.values[:, place] for place, column in enumerate(series.columns)}
        unknown = np.full(len(grid.starts_s), np.nan)
        for name, before in self._last.items():
            columns = [
                next((values[name, each] for each in names if (name, each) in values), unknown)
                for names in METRICS.values()
            ]
            whole = filled(np.stack(columns, axis=1), before)
            self._last[name] = whole[-1]
            arrays = [column_array(grid.starts_s), *(column_array(each) for each in whole.T)]
            with CsvFile(self._paths[name], _ROWS) as file:
                file.append(pa.table(arrays, schema=_ROWS))


def _write_lines(
    source: Source, stretch: Stretches, services: Mapping[str, str], files: Mapping[str, IO[bytes]]
) -> None:
    lines = source.within("logs.parquet", stretch, *_LINE_COLUMNS)
    time_us = values_of(lines.column("time")) + _LATE_US
    text = pc.strftime(column_array(time_us, pa.timestamp("us")), "%Y-%b-%d %H:%M:%S")
    level = pc.utf8_lower(pc.fill_null(log_levels(numbers_of(lines, "severity")), "unknown"))
    whole = pc.binary_join_element_wise(
        '"[', text, "] <", level, ">: ", json_strings(lines.column("body")), '"', ""
    )
    service = coded(lines.column("service"))
    for code, name in enumerate(service.texts):
        if name in files:
            own = whole.filter(column_array(service.codes == code, pa.bool_()))
            files[name].write("".join(f"{each},\n" for each in own.to_pylist()).encode())


def _join_lines(out: Export, name: str, services: Mapping[str, str], files: Mapping[str, IO[bytes]]) -> None:
    with out.path(name).open("wb") as whole:
        whole.write(b"{")
        for number, (service, file) in enumerate(files.items()):
            whole.write((b",\n" if number else b"") + json.dumps(services[service]).encode() + b": [")
            # Behind the last line there is a comma, too.
            file.truncate(max(0, file.tell() - len(b",\n")))
            file.seek(0)
            shutil.copyfileobj(file, whole)
            whole.write(b"]")
        whole.write(b"}\n")


def _traces(source: Source, stretch: Stretches, services: Mapping[str, str]) -> Iterator[bytes]:
    """Each trace as JSON; of spans without a trace or an id there are none."""
    spans = source.within("traces.parquet", stretch, *_SPAN_COLUMNS)
    spans = spans.filter(pc.and_(pc.is_valid(spans.column("trace_id")), pc.is_valid(spans.column("span_id"))))
    service, trace = coded(spans.column("service")), coded(spans.column("trace_id"))
    processes = [f"p{number}" for number in range(1, len(service.texts) + 1)]
    parent = pc.binary_join_element_wise(
        '{"refType":"CHILD_OF","traceID":"', spans.column("trace_id"), '","spanID":"',
        spans.column("parent_id"), '"}', "",
    )  # fmt: skip
    texts = pc.binary_join_element_wise(
        '{"traceID":"', spans.column("trace_id"), '","spanID":"', spans.column("span_id"),
        '","operationName":"', json_strings(texts_of(*coded(spans.column("endpoint")))),
        '","references":[', pc.fill_null(parent, ""),
        '],"startTime":', column_array(values_of(spans.column("start")) + _LATE_US).cast(pa.string()),
        ',"duration":', spans.column("duration_us").cast(pa.string()),
        ',"processID":"', texts_of(processes, service.codes), '"}', "",
    ).to_pylist()  # fmt: skip
    order = np.argsort(trace.codes, kind="stable")
    bounds = np.searchsorted(trace.codes[order], np.arange(len(trace.texts) + 1)).tolist()
    for number, trace_id in enumerate(trace.texts):
        rows = order[bounds[number] : bounds[number + 1]]
        own = {
            processes[code]: {"serviceName": services[service.texts[code]]}
            for code in np.unique(service.codes[rows]).tolist()
        }
        joined = ",".join(texts[row] for row in rows.tolist())
        yield f'{{"traceID":"{trace_id}","spans":[{joined}],"processes":{json.dumps(own)}}}'.encode()


def _write_faults(out: Export, name: str, found: FaultCases, services: Mapping[str, str]) -> None:
    kinds = out.names.map("fault", (case.kind for case in found.harmful), _fault, FAULTS)
    note_controls(found, out)
    faults = []
    for case in found.harmful:
        if case.recovered_us is None:
            out.lost(
                f"Fault {case.fault_id} ({case.kind}): it was not seen to end; its duration goes to the end."
            )
        end_us = found.until_us if case.recovered_us is None else case.recovered_us
        faults.append(
            {
                # The service is what stands between the first and the last hyphen.
                "name": f"microservo-{services[case.service]}-1",
                "fault": kinds[case.kind],
                "start": case.applied_us // SECOND_US,
                "duration": -(-end_us // SECOND_US) - case.applied_us // SECOND_US,
            }
        )
    document = {
        "start": found.from_us // SECOND_US,
        "end": -(-found.until_us // SECOND_US),
        "faults": faults,
    }
    out.text(name, json.dumps(document, indent=2) + "\n")


def _fault(kind: str) -> str:
    return file_name(kind).replace("-", "_")
