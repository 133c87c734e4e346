"""The metric files of Nezha: a row a minute for each pod, for what users call, and for calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from microservo.datasets.arrays import array_of, column_array, values_of
from microservo.datasets.formats.columns import Float64, coded, numbers_of, quantiles
from microservo.datasets.formats.format import Export
from microservo.datasets.formats.latencies import Latencies
from microservo.datasets.formats.nezha_run import Calls, NezhaRun, calls_of
from microservo.datasets.formats.stretches import SECOND_US
from microservo.datasets.formats.telemetry_series import Grid, metric_series

_CPU = ("process.cpu.utilization", "container_cpu_usage_seconds_total", "container.cpu.usage")
_MEMORY = ("process.memory.usage", "container_memory_working_set_bytes", "container.memory.usage")
_RECEIVED = ("network.io.receive_bytes", "container_network_receive_bytes_total")
_SENT = ("network.io.transmit_bytes", "container_network_transmit_bytes_total")
_NODE_CPU, _NODE_MEMORY = ("system.cpu.utilization",), ("system.memory.usage",)
_NODE_RECEIVED = ("system.network.receive_rate",)
_SHARES = ("P90", "P95", "P99")
_MIB = 2.0**20

Columns = dict[str, Float64]
_Values = Mapping[tuple[str, str], Float64]


def write_calls(out: Export, folder: str, calls: Calls) -> None:
    """Writes `dependency.csv`; every call weighs the same."""
    columns = {
        "Source": array_of([one for one, _ in calls.pairs], pa.string()),
        "Target": array_of([other for _, other in calls.pairs], pa.string()),
        "Weight": column_array(np.ones(len(calls.pairs), np.int64)),
    }
    out.csv(f"{folder}/dependency.csv", pa.table(columns))


@dataclass(frozen=True, slots=True, kw_only=True)
class MinuteMetrics:
    """The rows of some minutes.

    Attributes:
        out: takes the files.
        folders: where each minute of the grid belongs.
        grid: the minutes.
        points: metrics, with a column `pod`.
        spans: likewise.
        run: what is known of the run.
        services: what is written for services.
    """

    out: Export
    folders: Sequence[str]
    grid: Grid
    points: pa.Table
    spans: pa.Table
    run: NezhaRun
    services: Mapping[str, str]

    def write(self) -> None:
        """Appends them to the files of all pods, of what users call, and of calls."""
        nodes = self._node_columns()
        for pod, columns in self._pod_columns().items():
            self._write(f"{pod}_metric.csv", {"PodName": pod}, {**columns, **nodes})
        served = Latencies.of(self.spans, self.grid, "server", "service")
        for name in sorted(self.run.front & set(served.owners)):
            columns = {"SuccessRate(%)": served.success(name)}
            columns |= {f"Latency{each}(s)": served.quantile(name, each) for each in ("P50", *_SHARES)}
            self._write("front_service.csv", {"ServiceName": self.services[name]}, columns)
        self._write_calls()

    def _pod_columns(self) -> Mapping[str, Columns]:
        service = coded(self.points.column("service"))
        is_host = np.array([name == self.run.host for name in service.texts], np.bool_)
        own = self.points
        if len(service.texts):
            own = own.filter(column_array(~is_host[service.codes], pa.bool_()))
        values = _by_column(own, self.grid, "pod")
        server, client = (Latencies.of(self.spans, self.grid, kind, "pod") for kind in ("server", "client"))
        pods = {pod for pod, _ in values} | set(coded(self.spans.column("pod")).texts)
        return {pod: self._columns_of(pod, values, server, client) for pod in sorted(pods)}

    def _columns_of(self, pod: str, values: _Values, server: Latencies, client: Latencies) -> Columns:
        cores, memory = self._first(values, pod, _CPU), self._first(values, pod, _MEMORY)
        unknown = np.full(len(self.grid.starts_s), np.nan)
        columns = {
            "CpuUsage(m)": cores * 1000,
            "CpuUsageRate(%)": cores * 100,
            "MemoryUsage(Mi)": memory / _MIB,
            "MemoryUsageRate(%)": memory / self.run.memory_bytes * 100,
            "SyscallRead": unknown,
            "SyscallWrite": unknown,
            "NetworkReceiveBytes": self._first(values, pod, _RECEIVED),
            "NetworkTransmitBytes": self._first(values, pod, _SENT),
        }
        for name in _SHARES:
            columns[f"PodClientLatency{name}(s)"] = client.quantile(pod, name)
            columns[f"PodServerLatency{name}(s)"] = server.quantile(pod, name)
        columns["PodWorkload(Ops)"] = server.count(pod) / self.grid.length_s
        columns["PodSuccessRate(%)"] = server.success(pod)
        return columns

    def _node_columns(self) -> Columns:
        values, host = _by_column(self.points, self.grid, "service"), self.run.host
        return {
            "NodeCpuUsageRate(%)": self._first(values, host, _NODE_CPU) * 100,
            "NodeMemoryUsageRate(%)": self._first(values, host, _NODE_MEMORY) / self.run.memory_bytes * 100,
            "NodeNetworkReceiveBytes": self._first(values, host, _NODE_RECEIVED),
        }

    def _first(self, values: _Values, owner: str, names: Sequence[str]) -> Float64:
        """The first of some metrics that an owner has; NaN where it has none of them."""
        found = (values[owner, name] for name in names if (owner, name) in values)
        return next(found, np.full(len(self.grid.starts_s), np.nan))

    def _write_calls(self) -> None:
        """`source_50.csv`: a column for each call that is made anywhere in the run."""
        if not self.run.calls:
            return
        made = calls_of(self.spans)
        caller, callee = coded(made.column("service")), coded(made.column("peer"))
        place = {call: number for number, call in enumerate(self.run.calls)}
        pairs = [[place.get((one, other), -1) for other in callee.texts] for one in caller.texts]
        of_pair = np.array(pairs, np.int64).reshape(len(caller.texts), len(callee.texts))
        row, inside = self.grid.bins(values_of(made.column("time")))
        column = of_pair[caller.codes, callee.codes][inside]
        duration_s = numbers_of(made, "duration_us")[inside] / SECOND_US
        values = quantiles(row[inside], column, (len(self.grid.starts_s), len(place)), duration_s, 0.5)
        names = [f"{self.services[one]}_{self.services.get(other, other)}" for one, other in self.run.calls]
        times = dict(zip(("time", "timestamp"), _times(self.grid).values(), strict=True))
        columns = [column_array(values[:, number]) for number in range(len(names))]
        self._append("source_50.csv", pa.Table.from_arrays([*times.values(), *columns], [*times, *names]))

    def _write(self, name: str, owner: Mapping[str, str], columns: Columns) -> None:
        """Appends a row a minute: the time, whose it is, and numbers."""
        texts = {title: array_of([text] * len(self.folders), pa.string()) for title, text in owner.items()}
        numbers = {title: column_array(values) for title, values in columns.items()}
        self._append(name, pa.table({**_times(self.grid), **texts, **numbers}))

    def _append(self, name: str, table: pa.Table) -> None:
        """Each row goes to the file of its folder."""
        for folder in sorted(set(self.folders)):
            own = np.array([each == folder for each in self.folders])
            self.out.csv(f"{folder}/metric/{name}", table.filter(column_array(own, pa.bool_())))


def _by_column(points: pa.Table, grid: Grid, owner: str) -> _Values:
    series = metric_series(points, grid, owner=owner)
    return {column: series.values[:, place] for place, column in enumerate(series.columns)}


def _times(grid: Grid) -> dict[str, pa.Array]:
    """The two columns of time that every file begins with."""
    text = pc.strftime(column_array(grid.starts_s, pa.timestamp("s")), "%Y-%m-%d %H:%M:%S +0000 UTC")
    return {"Time": text, "TimeStamp": column_array(grid.starts_s)}
