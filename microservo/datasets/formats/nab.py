"""The Numenta Anomaly Benchmark: a series per service and signal, with the windows of its anomalies.

::

    data/<service>/<signal>.csv        timestamp (UTC, without a zone), value; a row per window
    labels/combined_windows.json       of each file the first and last timestamp of every anomaly

Signals are what the feature of the same place says: NAB's series have one value each, and of all features of
a service hundreds of files would become.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import ClassVar, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from microservo.datasets.arrays import column_array
from microservo.datasets.formats.columns import Int64
from microservo.datasets.formats.csv_files import CsvFile
from microservo.datasets.formats.format import Export
from microservo.datasets.formats.names import file_name
from microservo.datasets.formats.source import Source
from microservo.datasets.formats.stretches import SECOND_US
from microservo.datasets.formats.window_series import ServiceWindows, filled, service_windows, window_rows
from microservo.errors import InvalidInput

SIGNALS: Mapping[str, tuple[str, ...]] = {
    "requests": ("request/*/count", "call/*/count"),
    "error_share": ("request/*/error_share", "call/*/error_share"),
    "p90_ms": ("request/*/p90_ms", "call/*/p90_ms"),
    "cpu": ("metric/process.cpu.utilization/mean", "metric/container_cpu_usage_seconds_total.rate/sum"),
    "memory": ("metric/process.memory.usage/mean", "metric/container_memory_working_set_bytes/mean"),
    "error_lines": ("log/severity/error",),
}
"""Signals by the names of their files: the first feature that a service has is taken."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SCHEMA = pa.schema([("timestamp", pa.string()), ("value", pa.float64())])
_PROBATION = 0.15
"""Share of the rows of a file that NAB does not score, its first ones."""
_MOST_PROBATION = 750


class _File(NamedTuple):
    service: str
    feature: str


class Nab:
    """The Numenta Anomaly Benchmark."""

    name: ClassVar[str] = "nab"
    losses: ClassVar[Sequence[str]] = (
        f"Features other than {', '.join(SIGNALS)}: a series has one value.",
        "In which signal an anomaly shows: its window is that of the service, in every file of it.",
        "Masked windows: NAB scores every row behind its probation, so they are left out.",
        "Undefined values, as the latency of no request: they are the last value before, 0 where there is"
        " none.",
        f"The first {_PROBATION:.0%} of the rows of each file, {_MOST_PROBATION} at most: NAB's probation, in"
        " which nothing is scored.",
        "That an anomaly took one row: its window has the next one too, for NAB's scorer can't divide by a"
        " width of one, and anomalies that touch by that are one.",
        "Which fault made a window anomalous, of what kind, with what role of the service.",
        "First revisions of windows, points, lines, spans, scores, who called whom, the ledger.",
    )

    def export(self, source: Source, out: Export) -> None:
        """A file for each service and signal; one without an anomaly is one in which alarms are false."""
        found = service_windows(source)
        services = out.names.map("service", found, file_name)
        files = {
            f"{services[name]}/{signal}.csv": _File(name, feature)
            for name, windows in found.items()
            for signal, features in SIGNALS.items()
            if (feature := next((each for each in features if each in windows.features), None)) is not None
        }
        if not files:
            run_id = source.manifest.run.run_id
            msg = f"run {run_id} holds no window with {', '.join(SIGNALS)}, which NAB's series are made of"
            raise InvalidInput(msg)
        for name, windows in found.items():
            if hidden := _in_probation(windows):
                out.lost(f"Service {name}: {hidden} of its anomalies lie in the probation.")
        _write_series(source, out, files)
        labels = {place: _windows(found[file.service]) for place, file in sorted(files.items())}
        out.text("labels/combined_windows.json", json.dumps(labels, indent=4) + "\n")


FORMAT = Nab()


def _write_series(source: Source, out: Export, files: Mapping[str, _File]) -> None:
    features: dict[str, tuple[str, ...]] = {}
    for file in files.values():
        features[file.service] = (*features.get(file.service, ()), file.feature)
    before = {name: np.zeros(len(each)) for name, each in features.items()}
    total, done = source.rows("windows.parquet"), 0
    with ExitStack() as stack:
        open_files = {
            file: stack.enter_context(CsvFile(out.path(f"data/{place}"), _SCHEMA))
            for place, file in files.items()
        }
        for name, rows in window_rows(source, features):
            values = filled(rows.values, before[name])
            before[name] = values[-1] if len(values) else before[name]
            timestamps = _timestamps(rows.start_us)
            for column, feature in enumerate(features[name]):
                value = column_array(np.ascontiguousarray(values[:, column]))
                open_files[_File(name, feature)].append(pa.table([timestamps, value], schema=_SCHEMA))
            done += len(rows.start_us)
            out.progress(done, total)
    out.progress(total, total)


def _timestamps(times_us: Int64) -> pa.Array:
    """As NAB writes them: to the second, to the microsecond where that is needed."""
    if (times_us % SECOND_US).any():
        return pc.strftime(column_array(times_us, pa.timestamp("us")), "%Y-%m-%d %H:%M:%S")
    return pc.strftime(column_array(times_us // SECOND_US, pa.timestamp("s")), "%Y-%m-%d %H:%M:%S")


def _windows(windows: ServiceWindows) -> list[list[str]]:
    return [
        [_instant(int(windows.start_us[first])), _instant(int(windows.start_us[last]))]
        for first, last in _widened(windows.stretches(), len(windows.start_us))
    ]


def _widened(stretches: list[tuple[int, int]], rows: int) -> list[tuple[int, int]]:
    """The same with two rows or more each: NAB's scorer divides by the width less one."""
    found: list[tuple[int, int]] = []
    for first, last in stretches:
        end = last if last > first else min(last + 1, rows - 1)
        begin = first if end > first else max(0, first - 1)
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((begin, end))
    return found


def _instant(time_us: int) -> str:
    return (_EPOCH + timedelta(microseconds=time_us)).strftime("%Y-%m-%d %H:%M:%S.%f")


def _in_probation(windows: ServiceWindows) -> int:
    """How many anomalies begin where NAB scores nothing."""
    rows = len(windows.start_us)
    probation = min(int(_PROBATION * rows), _MOST_PROBATION)
    return sum(first < probation for first, _ in windows.stretches())
