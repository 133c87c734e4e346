"""The metric files of Nezha: a row a minute for each pod, for what users call, and for calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from microservo.datasets.arrays import array_of, column_array, values_of
from microservo.datasets.formats.columns import Float64, coded, numbers_of, quantiles, sums
from microservo.datasets.formats.format import Export
from microservo.datasets.formats.source import Source
from microservo.datasets.formats.stretches import SECOND_US
from microservo.datasets.formats.telemetry_series import Grid, metric_series

_CPU = ("process.cpu.utilization", "container_cpu_usage_seconds_total", "container.cpu.usage")
_MEMORY = ("process.memory.usage", "container_memory_working_set_bytes", "container.memory.usage")
_RECEIVED = ("network.io.receive_bytes", "container_network_receive_bytes_total")
_SENT = ("network.io.transmit_bytes", "container_network_transmit_bytes_total")
_NODE_CPU, _NODE_MEMORY = ("system.cpu.utilization",), ("system.memory.usage",)
_NODE_RECEIVED = ("system.network.receive_rate",)
_SHARES = {"P90": 0.90, "P95": 0.95, "P99": 0.99}
_MIB = 2.0**20

Columns = dict[str, Float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class PodMetrics:
    """What is needed beside the telemetry itself.

    Attributes:
        memory_bytes: of the machine that the run took place on; NaN where that is not known, or there were
            several that differ.
        host: the service that host metrics are of; "" where there is none, or there are several.
        front: services that none but users call.
        calls: whose spans of calls say whom, sorted.
    """

    memory_bytes: float
    host: str
    front: frozenset[str]
    calls: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, source: Source, kinds: Mapping[str, str]) -> PodMetrics:
        """Those of a dataset, whose services are of these kinds."""
        sizes = {float(each.memory_bytes) for each in source.manifest.run.machines}
        hosts = [name for name, kind in kinds.items() if kind == "host"]
        graph = source.table("graph.parquet", "caller", "callee")
        users = {name for name, kind in kinds.items() if kind == "load_generator"}
        called = {
            callee
            for caller, callee in zip(*(graph.column(each).to_pylist() for each in graph.column_names), strict=True)
            if caller not in users
        }
        return cls(
            memory_bytes=sizes.pop() if len(sizes) == 1 else np.nan,
            host=hosts[0] if len(hosts) == 1 else "",
            front=frozenset(name for name, kind in kinds.items() if kind == "service") - called,
            calls=tuple(sorted(_calls(source))),
        )


def _calls(source: Source) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    for block in source.blocks("traces.parquet", "service", "kind", "peer"):
        made = _calls_of(block)
        caller, callee = coded(made.column("service")), coded(made.column("peer"))
        pairs = np.unique(np.stack((caller.codes, callee.codes)), axis=1)
        found |= {(caller.texts[one], callee.texts[other]) for one, other in pairs.T.tolist()}
    return found


def _calls_of(spans: pa.Table) -> pa.Table:
    """The spans of calls that say whom they are to."""
    is_call = pc.fill_null(pc.equal(spans.column("kind").cast(pa.string()), "client"), False)
    return spans.filter(pc.and_(is_call, pc.is_valid(spans.column("peer"))))


@dataclass(frozen=True, slots=True)
class Calls:
    """Who calls whom, as pairs of names that are written, sorted."""

    pairs: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, source: Source, services: Mapping[str, str]) -> Calls:
        """Those of a dataset; what is called may be no service of ours."""
        graph = source.table("graph.parquet", "caller", "callee")
        columns = (graph.column(each).to_pylist() for each in graph.column_names)
        pairs = {(services.get(one, one), services.get(other, other)) for one, other in zip(*columns, strict=True)}
        return cls(tuple(sorted(pairs)))


def write_calls(out: Export, folder: str, calls: Calls) -> None:
    """Writes `dependency.csv`; every call weighs the same."""
    columns = {
        "Source": array_of([one for one, _ in calls.pairs], pa.string()),
        "Target": array_of([other for _, other in calls.pairs], pa.string()),
        "Weight": column_array(np.ones(len(calls.pairs), np.int64)),
    }
    out.csv(f"{folder}/dependency.csv", pa.table(columns))


def write_metrics(
    out: Export,
    folders: Sequence[str],
    grid: Grid,
    points: pa.Table,
    spans: pa.Table,
    known: PodMetrics,
    services: Mapping[str, str],
) -> None:
    """Writes the rows of some minutes into the files of all pods.

    Args:
        out: takes the files.
        folders: where each minute of the grid belongs.
        grid: minutes.
        points: metrics, with a column `pod`.
        spans: likewise.
        known: see there.
        services: what is written for services.
    """
    times = _times(grid)
    nodes = _node_columns(points, grid, known)
    by_pod = _pod_columns(points, spans, grid, known)
    for pod, columns in by_pod.items():
        table = pa.table(
            {
                **times,
                "PodName": array_of([pod] * len(folders), pa.string()),
                **{name: column_array(values) for name, values in {**columns, **nodes}.items()},
            }
        )
        seen = np.isfinite(np.array([*columns.values()])).any(axis=0)
        _write_minutes(out, f"{pod}_metric.csv", folders, table, seen)
    _write_front(out, folders, grid, spans, known, services)
    _write_latencies(out, folders, grid, spans, known, services)


def _pod_columns(points: pa.Table, spans: pa.Table, grid: Grid, known: PodMetrics) -> Mapping[str, Columns]:
    service = coded(points.column("service"))
    is_host = np.array([name == known.host for name in service.texts], np.bool_)
    own = points.filter(column_array(~is_host[service.codes], pa.bool_())) if len(service.texts) else points
    series = metric_series(own, grid, owner="pod")
    of = {column: series.values[:, place] for place, column in enumerate(series.columns)}
    pods = sorted({pod for pod, _ in series.columns} | set(coded(spans.column("pod")).texts))
    server, client = (_Latencies.of(spans, grid, kind, "pod") for kind in ("server", "client"))
    nothing = np.full(len(grid.starts_s), np.nan)

    def first(pod: str, names: Sequence[str]) -> Float64:
        return next((of[pod, name] for name in names if (pod, name) in of), nothing)

    found = {}
    for pod in pods:
        cores, memory = first(pod, _CPU), first(pod, _MEMORY)
        columns = {
            "CpuUsage(m)": cores * 1000,
            "CpuUsageRate(%)": cores * 100,
            "MemoryUsage(Mi)": memory / _MIB,
            "MemoryUsageRate(%)": memory / known.memory_bytes * 100,
            "SyscallRead": nothing,
            "SyscallWrite": nothing,
            "NetworkReceiveBytes": first(pod, _RECEIVED),
            "NetworkTransmitBytes": first(pod, _SENT),
        }
        for name in _SHARES:
            columns[f"PodClientLatency{name}(s)"] = client.quantile(pod, name)
            columns[f"PodServerLatency{name}(s)"] = server.quantile(pod, name)
        columns["PodWorkload(Ops)"] = server.count(pod) / grid.length_s
        columns["PodSuccessRate(%)"] = server.success(pod)
        found[pod] = columns
    return found


def _node_columns(points: pa.Table, grid: Grid, known: PodMetrics) -> Columns:
    series = metric_series(points, grid)
    of = {column: series.values[:, place] for place, column in enumerate(series.columns)}
    nothing = np.full(len(grid.starts_s), np.nan)

    def first(names: Sequence[str]) -> Float64:
        return next((of[known.host, name] for name in names if (known.host, name) in of), nothing)

    return {
        "NodeCpuUsageRate(%)": first(_NODE_CPU) * 100,
        "NodeMemoryUsageRate(%)": first(_NODE_MEMORY) / known.memory_bytes * 100,
        "NodeNetworkReceiveBytes": first(_NODE_RECEIVED),
    }


def _write_front(
    out: Export,
    folders: Sequence[str],
    grid: Grid,
    spans: pa.Table,
    known: PodMetrics,
    services: Mapping[str, str],
) -> None:
    served = _Latencies.of(spans, grid, "server", "service")
    for name in sorted(known.front & set(served.owners)):
        columns: Columns = {"SuccessRate(%)": served.success(name)}
        columns |= {f"Latency{each}(s)": served.quantile(name, each) for each in ("P50", *_SHARES)}
        table = pa.table(
            {
                **_times(grid),
                "ServiceName": array_of([services[name]] * len(folders), pa.string()),
                **{title: column_array(values) for title, values in columns.items()},
            }
        )
        _write_minutes(out, "front_service.csv", folders, table, served.count(name) > 0)


def _write_latencies(
    out: Export,
    folders: Sequence[str],
    grid: Grid,
    spans: pa.Table,
    known: PodMetrics,
    services: Mapping[str, str],
) -> None:
    """`source_50.csv`: a column for each call that is made anywhere in the run."""
    if not known.calls:
        return
    made = _calls_of(spans)
    caller, callee = coded(made.column("service")), coded(made.column("peer"))
    place = {call: number for number, call in enumerate(known.calls)}
    of_pair = np.array(
        [[place.get((one, other), -1) for other in callee.texts] for one in caller.texts], np.int64
    ).reshape(len(caller.texts), len(callee.texts))
    row, inside = grid.bins(values_of(made.column("time")))
    column = of_pair[caller.codes, callee.codes][inside]
    duration_s = numbers_of(made, "duration_us")[inside] / SECOND_US
    values = quantiles(row[inside], column, (len(grid.starts_s), len(place)), duration_s, 0.5)
    names = [f"{services[one]}_{services.get(other, other)}" for one, other in known.calls]
    times = dict(zip(("time", "timestamp"), _times(grid).values(), strict=True))
    columns = [column_array(np.ascontiguousarray(values[:, number])) for number in range(len(names))]
    table = pa.Table.from_arrays([*times.values(), *columns], names=[*times, *names])
    _write_minutes(out, "source_50.csv", folders, table, np.isfinite(values).any(axis=1))


@dataclass(frozen=True, slots=True, eq=False)
class _Latencies:
    """Durations of the spans of a kind by owner and minute, in seconds; arrays have shape (minutes, owners)."""

    owners: list[str]
    counts: Float64
    failures: Float64
    by_share: Mapping[str, Float64]

    @classmethod
    def of(cls, spans: pa.Table, grid: Grid, kind: str, owner: str) -> _Latencies:
        of_kind = pc.fill_null(pc.equal(spans.column("kind").cast(pa.string()), kind), False)
        kept = spans.filter(of_kind)
        owners = coded(kept.column(owner))
        place, inside = grid.bins(values_of(kept.column("time")))
        row, column, shape = place[inside], owners.codes[inside], (len(grid.starts_s), len(owners.texts))
        duration_s = numbers_of(kept, "duration_us")[inside] / SECOND_US
        failed = numbers_of(kept, "error")[inside].astype(np.float64)
        shares = {"P50": 0.50, **_SHARES}
        return cls(
            owners.texts,
            sums(row, column, shape),
            sums(row, column, shape, failed),
            {name: quantiles(row, column, shape, duration_s, share) for name, share in shares.items()},
        )

    def quantile(self, owner: str, name: str) -> Float64:
        return self._column(self.by_share[name], owner, np.nan)

    def count(self, owner: str) -> Float64:
        return self._column(self.counts, owner, 0.0)

    def success(self, owner: str) -> Float64:
        """In percent; NaN where there is nothing that could have failed."""
        with np.errstate(invalid="ignore", divide="ignore"):
            shares: Float64 = (1 - self._column(self.failures, owner, 0.0) / self.count(owner)) * 100
        return shares

    def _column(self, values: Float64, owner: str, default: float) -> Float64:
        if owner not in self.owners:
            return np.full(len(values), default)
        found: Float64 = values[:, self.owners.index(owner)]
        return found


def _times(grid: Grid) -> dict[str, pa.Array]:
    """The two columns of time that every file begins with."""
    text = pc.strftime(column_array(grid.starts_s, pa.timestamp("s")), "%Y-%m-%d %H:%M:%S +0000 UTC")
    return {"Time": text, "TimeStamp": column_array(grid.starts_s)}


def _write_minutes(
    out: Export, name: str, folders: Sequence[str], table: pa.Table, kept: NDArray[np.bool_]
) -> None:
    """Appends each row to the file of its folder."""
    for folder in sorted(set(folders)):
        own = np.array([each == folder for each in folders]) & kept
        if own.any():
            out.csv(f"{folder}/metric/{name}", table.filter(column_array(own, pa.bool_())))
