"""A made-up dataset, written table by table: what its values are is known, whatever they say."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from microservo.datasets.files import write_table
from microservo.datasets.tables import TABLES
from microservo.domain.datasets.manifest import MANIFEST, Manifest, RunFacts, tables_hash

S = 1_000_000
START_US = 1_700_000_000 * S
"""2023-11-14 22:13:20 UTC, so that the run goes over the end of an hour and of minutes."""
WINDOW_S = 5
CPU, MEMORY, QUEUE = "process.cpu.utilization", "process.memory.usage", "queue_depth{a_b=c,d}"
SERVICES = ("cart_service", "cart-service", "carts-db", "front/end")
"""Names that one format or another forbids, two of them the same to a format without underscores."""
HOST = "host-1"
BODY = 'said "no", then\nwent on, with ünïcode'


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeFault:
    """A fault; times in seconds since the start of the run.

    Attributes:
        seen: when the telemetry of its service had left its normal; nothing where it did not.
    """

    fault_id: str
    kind: str
    service: str
    applied: float
    recovered: float | None
    seen: tuple[float, float] | None = None
    severity: float = 0.5
    instances: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What happens in a made-up run.

    Attributes:
        seconds: how long it takes.
        fault_free: nothing is injected until then, in seconds since the start.
    """

    seconds: int = 300
    fault_free: int = 100
    services: tuple[str, ...] = SERVICES
    faults: tuple[MadeFault, ...] = field(default_factory=lambda: FAULTS)


_WINDOW: Mapping[str, Any] = {
    "run_id": "made-run",
    "service_kind": "service",
    "revision": 0,
    "in_force": 0.0,
    "faults": 0,
    "delay_us": 0,
    "sha256": "",
}
"""What all windows have in common."""
FAULTS = (
    MadeFault(fault_id="f-noop", kind="noop", service="front/end", applied=120, recovered=130, severity=0),
    MadeFault(
        fault_id="f-cpu",
        kind="cpu-hog",
        service="cart_service",
        applied=150.4,
        recovered=200.6,
        seen=(152.2, 201.9),
    ),
    MadeFault(
        fault_id="f-delay",
        kind="network-delay",
        service="carts-db",
        applied=230.0,
        recovered=250.0,
        seen=(231.0, 250.5),
        instances=2,
    ),
)


def write_dataset(
    folder: Path, made: Made | None = None, windows: Sequence[Mapping[str, Any]] | None = None
) -> Manifest:
    """Writes the tables of a run and their manifest.

    Args:
        folder: to make.
        made: what happens in it.
        windows: columns of windows, in order, in place of those that it would have.
    """
    made = made or Made()
    folder.mkdir(parents=True)
    rows = {name: list(make(made)) for name, make in _TABLES.items()}
    if windows is not None:
        rows["windows.parquet"] = [{**_WINDOW, **each} for each in windows]
    entries = []
    for name, schema in TABLES.items():
        table = pa.Table.from_pylist(rows.get(name, []), schema=schema)
        entries.append(write_table(folder / name, schema, [table]))
    manifest = Manifest(
        run=_run(made),
        policy={"size_us": WINDOW_S * S, "first_cut_us": 2 * S, "final_cut_us": 30 * S},
        offsets={},
        schema_ids={},
        versions={},
        totals={},
        final_until_us={},
        unfinished_windows=0,
        files=tuple(sorted(entries, key=lambda each: each.name)),
    )
    manifest = Manifest(**_fields(manifest) | {"content_hash": tables_hash(manifest.files)})
    (folder / MANIFEST).write_text(manifest.to_json(), "utf-8")
    return manifest


def at(second: float) -> int:
    """Microseconds UTC."""
    return START_US + round(second * S)


def truth_of(made: Made, service: str, second: int) -> str:
    """What is true of the window of a service that begins at a second."""
    for fault in made.faults:
        if fault.service == service and fault.seen is not None:
            first, last = fault.seen
            if second < last and second + WINDOW_S > first:
                return "anomalous"
            if second < last + 2 * WINDOW_S and second + WINDOW_S > first:
                return "masked"
    return "normal"


def cpu_of(made: Made, service: str, second: float, noise: float) -> float:
    """Cores: a tenth, and nearly all of one while its processor is burnt."""
    burnt = any(
        each.kind == "cpu-hog"
        and each.service == service
        and each.applied <= second < (each.recovered or 1e9)
        for each in made.faults
    )
    return (0.9 if burnt else 0.1) + noise / 100


def _run(made: Made) -> RunFacts:
    return RunFacts(
        run_id="made-run",
        status="finished",
        seed=1,
        target="made-up",
        started_at_us=START_US,
        finished_at_us=at(made.seconds),
        versions={},
        partitions=1,
        fault_free_until_us=at(made.fault_free),
    )


def _fields(manifest: Manifest) -> dict[str, Any]:
    return {name: getattr(manifest, name) for name in manifest.__slots__}


def _windows(made: Made) -> Iterator[dict[str, Any]]:
    for second in range(0, made.seconds, WINDOW_S):
        for service in sorted((*made.services, HOST)):
            chance = random.Random(f"{service}/{second}")
            features = {
                f"metric/{CPU}/mean": cpu_of(made, service, second, chance.random()),
                f"metric/{MEMORY}/mean": 1e8 + second,
                "request/*/count": 20.0,
                "request/*/error_share": 0.0,
                # As it is where nothing was served.
                "request/*/p90_ms": float("nan") if second % 50 == 0 else 10 + chance.random(),
            }
            if service == HOST:
                features = {"metric/system.cpu.utilization/mean": 0.5}
            yield {
                **_WINDOW,
                "service": service,
                "service_kind": "host" if service == HOST else "service",
                "start": at(second),
                "end": at(second + WINDOW_S),
                "truth": truth_of(made, service, second),
                "feature_names": list(features),
                "feature_values": list(features.values()),
            }


def _metrics(made: Made) -> Iterator[dict[str, Any]]:
    for second, service in _by_window(made, (*made.services, HOST)):
        chance = random.Random(f"metrics/{service}/{second}")
        values = {
            CPU: cpu_of(made, service, second, chance.random()),
            MEMORY: 1e8 + second,
            QUEUE: chance.random(),
        }
        if service == HOST:
            values = {"system.cpu.utilization": 0.5}
        for number in range(2):
            for name, value in values.items():
                yield {
                    "time": at(second + 0.25 + number / 2),
                    "service": service,
                    "instance": f"{service}-{number}",
                    "name": name,
                    "value": value + (number if name == QUEUE else 0),
                    "age_us": 0,
                    "late": False,
                }


def _logs(made: Made) -> Iterator[dict[str, Any]]:
    for second, service in _by_window(made, made.services):
        yield {
            "time": at(second + 0.125),
            "service": service,
            "instance": f"{service}-0",
            "template": "said <*>, went on",
            "severity": 17 if second % 9 == 0 else 9,
            "trace_id": f"{second:032x}",
            "span_id": f"{second:016x}",
            "body": BODY if second % 7 == 0 else f"request {second} done",
            "late": False,
        }


def _traces(made: Made) -> Iterator[dict[str, Any]]:
    for second, service in _by_window(made, made.services):
        for number in range(4):
            end_us, duration_us = at(second + number / 4 + 0.1), 10_000 + 1_000 * number
            yield {
                "time": end_us,
                "start": end_us - duration_us,
                "duration_us": duration_us,
                "service": service,
                "instance": f"{service}-0",
                "endpoint": "GET /a_b,c",
                "kind": "client" if number == 3 else "server",
                "protocol": "http",
                "peer": "redis" if number == 3 else None,
                "error": second % 10 == 0 and number == 1,
                "trace_id": f"{second:032x}",
                "span_id": f"{made.services.index(service):08x}{second * 4 + number:08x}",
                "parent_id": f"{second:016x}" if number else None,
                "late": False,
            }


def _faults(made: Made) -> Iterator[dict[str, Any]]:
    yield _fault("f-refused", "network-delay", "nobody", "", state="rejected", requested_at=at(1))
    for fault in made.faults:
        for number in range(fault.instances):
            yield _fault(
                fault.fault_id,
                fault.kind,
                fault.service,
                f"{fault.service}-{number}",
                state="recovered",
                requested_at=at(fault.applied - 0.2),
                apply_commanded_at=at(fault.applied - 0.1),
                applied_at=at(fault.applied + number / 8),
                recovered_at=None if fault.recovered is None else at(fault.recovered - number / 8),
                severity=fault.severity,
                duration_us=round(((fault.recovered or fault.applied) - fault.applied) * S),
            )


def _fault(fault_id: str, kind: str, service: str, instance: str, **others: Any) -> dict[str, Any]:
    return {
        "run_id": "made-run",
        "fault_id": fault_id,
        "instance": instance or None,
        "version": 1,
        "kind": kind,
        "service": service,
        "at": others["requested_at"],
        "requested_within_us": 1,
        "parameters": "{}",
        "origin": "request",
        "verdict": "confirmed",
        **others,
    }


def _effects(made: Made) -> Iterator[dict[str, Any]]:
    for fault, (first, last) in _seen(made.faults):
        yield {
            "run_id": "made-run",
            "fault_id": fault.fault_id,
            "fault_kind": fault.kind,
            "service": fault.service,
            "root_service": fault.service,
            "relation": "root",
            "hops": 0,
            "role": "root_cause",
            "finding": "visible",
            "first_deviating_at": at(first),
            "last_deviating_at": at(last),
            "intervals": 1,
            "late_starts_us": [],
            "late_ends_us": [],
            "is_open": False,
            "shared_with": [],
            "is_final": True,
        }


def _effect_intervals(made: Made) -> Iterator[dict[str, Any]]:
    for fault, (first, last) in _seen(made.faults):
        yield {
            "run_id": "made-run",
            "fault_id": fault.fault_id,
            "service": fault.service,
            "number": 0,
            "first_deviating_at": at(first),
            "last_deviating_at": at(last),
            "is_open": False,
        }


def _graph(made: Made) -> Iterator[dict[str, Any]]:
    for caller, callee in zip(made.services, made.services[1:], strict=False):
        yield {
            "run_id": "made-run",
            "start": at(0),
            "end": at(made.seconds),
            "caller": caller,
            "callee": callee,
            "calls": 7,
            "errors": 0,
        }


def _seen(faults: Sequence[MadeFault]) -> Iterator[tuple[MadeFault, tuple[float, float]]]:
    return ((each, each.seen) for each in faults if each.seen is not None)


def _by_window(made: Made, services: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Seconds and services in the order of the tables: window, service, time."""
    for start in range(0, made.seconds, WINDOW_S):
        for service in sorted(services):
            for second in range(start, min(start + WINDOW_S, made.seconds)):
                yield second, service


_TABLES = {
    "windows.parquet": _windows,
    "metrics.parquet": _metrics,
    "logs.parquet": _logs,
    "traces.parquet": _traces,
    "faults.parquet": _faults,
    "effects.parquet": _effects,
    "effect_intervals.parquet": _effect_intervals,
    "graph.parquet": _graph,
}
