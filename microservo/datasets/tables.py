"""The tables of a dataset: their files and columns. Instants are UTC microseconds."""

from __future__ import annotations

import pyarrow as pa

TIME = pa.timestamp("us", tz="UTC")
TEXT = pa.dictionary(pa.int32(), pa.string())
"""Text that repeats from row to row."""
_TEXTS = pa.list_(pa.field("item", pa.string(), nullable=False))


def _table(**columns: pa.DataType) -> pa.Schema:
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in columns.items()])


def _nullable(schema: pa.Schema, *names: str) -> pa.Schema:
    return pa.schema([field.with_nullable(field.name in names) for field in schema])


LABEL = pa.struct(
    [
        pa.field("fault_id", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("role", pa.string(), nullable=False),
        pa.field("relation", pa.string(), nullable=False),
        pa.field("root_service", pa.string(), nullable=False),
        pa.field("hops", pa.int32(), nullable=False),
        pa.field("phase", pa.string(), nullable=False),
        pa.field("overlap", pa.float64(), nullable=False),
        pa.field("instances", _TEXTS, nullable=False),
        pa.field("severity", pa.float64(), nullable=False),
        pa.field("finding", pa.string(), nullable=False),
        pa.field("visible", pa.float64(), nullable=False),
        pa.field("shared_with", _TEXTS, nullable=False),
    ]
)

WINDOWS = _nullable(
    _table(
        run_id=pa.string(),
        service=pa.string(),
        start=TIME,
        end=TIME,
        revision=pa.int32(),
        final=pa.bool_(),
        truth=pa.string(),
        role=pa.string(),
        in_force=pa.float64(),
        visible=pa.float64(),
        labels=pa.list_(pa.field("item", LABEL, nullable=False)),
        features=pa.map_(pa.string(), pa.field("value", pa.float64(), nullable=False)),
        sha256=pa.string(),
    ),
    "role",
    "visible",
)
METRICS = _table(
    time=TIME,
    service=TEXT,
    instance=TEXT,
    name=TEXT,
    value=pa.float64(),
    interval_us=pa.int64(),
    age_us=pa.int64(),
    late=pa.bool_(),
)
LOGS = _table(
    time=TIME,
    service=TEXT,
    instance=TEXT,
    template=TEXT,
    severity=pa.uint8(),
    trace_id=pa.binary(16),
    span_id=pa.binary(8),
    body=pa.string(),
    late=pa.bool_(),
)
TRACES = _table(
    time=TIME,
    start=TIME,
    duration_us=pa.int64(),
    service=TEXT,
    instance=TEXT,
    endpoint=TEXT,
    peer=TEXT,
    kind=pa.uint8(),
    protocol=pa.uint8(),
    error=pa.uint8(),
    trace_id=pa.binary(16),
    span_id=pa.binary(8),
    parent_id=pa.binary(8),
    late=pa.bool_(),
)
_OPTIONAL_TIMES = (
    "apply_commanded_at",
    "applied_at",
    "effect_seen_at",
    "recovery_commanded_at",
    "recovered_at",
)
READINGS = ("requested_at", "apply_commanded_at", "recovery_commanded_at")
"""Instants that are read from a clock where the thing happens, and so true to the microsecond they say."""
_PRECISIONS = {
    f"{name.removesuffix('_at')}_within_us": pa.int64()
    for name in ("requested_at", *_OPTIONAL_TIMES, "normal_at")
}
FAULTS = _nullable(
    _table(
        run_id=pa.string(),
        fault_id=pa.string(),
        instance=pa.string(),
        version=pa.int32(),
        kind=pa.string(),
        service=pa.string(),
        state=pa.string(),
        at=TIME,
        requested_at=TIME,
        apply_commanded_at=TIME,
        applied_at=TIME,
        effect_seen_at=TIME,
        recovery_commanded_at=TIME,
        recovered_at=TIME,
        normal_at=TIME,
        **_PRECISIONS,
        duration_us=pa.int64(),
        parameters=pa.map_(pa.string(), pa.field("value", pa.string(), nullable=False)),
        severity=pa.float64(),
        origin=pa.string(),
        acted=pa.int64(),
        verdict=pa.string(),
        apply_evidence=pa.string(),
        recovery_evidence=pa.string(),
        effect_evidence=pa.string(),
        reason=pa.string(),
    ),
    *_OPTIONAL_TIMES,
    "normal_at",
    *(name for name in _PRECISIONS if name != "requested_within_us"),
    "severity",
    "acted",
)
SCORES = _table(
    run_id=pa.string(),
    service=pa.string(),
    start=TIME,
    end=TIME,
    revision=pa.int32(),
    algorithm=pa.string(),
    score=pa.float64(),
    scored_at=TIME,
    latency_us=pa.int64(),
)
GRAPH = _table(
    run_id=pa.string(),
    start=TIME,
    end=TIME,
    caller=pa.string(),
    callee=pa.string(),
    callee_kind=pa.string(),
    calls=pa.int64(),
    errors=pa.int64(),
)
INSTANCES = _table(
    run_id=pa.string(),
    service=pa.string(),
    instance=pa.string(),
    seen=TIME,
    kind=pa.string(),
    name=pa.string(),
    namespace=pa.string(),
    version=pa.string(),
    environment=pa.string(),
    host=pa.string(),
    pod=pa.string(),
    container=pa.string(),
    pid=pa.string(),
    executable=pa.string(),
    language=pa.string(),
    region=pa.string(),
    scopes=pa.list_(pa.field("item", pa.string(), nullable=False)),
)
LEDGER = _table(
    source=pa.string(),
    service=pa.string(),
    minute=TIME,
    read=pa.int64(),
    in_windows=pa.int64(),
    late=pa.int64(),
    duplicate=pa.int64(),
    dropped=pa.int64(),
    rejected=pa.int64(),
    unfinished=pa.int64(),
)

TABLES: dict[str, pa.Schema] = {
    "windows.parquet": WINDOWS,
    "metrics.parquet": METRICS,
    "logs.parquet": LOGS,
    "traces.parquet": TRACES,
    "faults.parquet": FAULTS,
    "fault_events.parquet": FAULTS,
    "scores.parquet": SCORES,
    "graph.parquet": GRAPH,
    "instances.parquet": INSTANCES,
    "ledger.parquet": LEDGER,
}
"""Schema of every table by the name of its file."""
