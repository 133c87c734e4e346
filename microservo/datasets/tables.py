"""The tables of a dataset: their files and columns. Instants are UTC microseconds."""

from __future__ import annotations

import pyarrow as pa

TIME = pa.timestamp("us", tz="UTC")
TEXT = pa.dictionary(pa.int32(), pa.string())
"""Text that repeats from row to row."""
_INSTANTS_US = pa.list_(pa.field("item", pa.int64(), nullable=False))
TEXTS = pa.list_(pa.field("item", pa.string(), nullable=False))


def _table(**columns: pa.DataType) -> pa.Schema:
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in columns.items()])


def _nullable(schema: pa.Schema, *names: str) -> pa.Schema:
    return pa.schema([field.with_nullable(field.name in names) for field in schema])


_LABEL: dict[str, pa.DataType] = {
    "fault_id": pa.string(),
    "fault_kind": pa.string(),
    "root_service": pa.string(),
    "relation": pa.string(),
    "hops": pa.int32(),
    "phase": pa.string(),
    "overlap": pa.float64(),
    "severity": pa.float64(),
    "finding": pa.string(),
}
"""What a window and a label say of a fault alike."""
_FEATURES = ("feature_names", "feature_values")
_WINDOW = {
    "run_id": pa.string(),
    "service": pa.string(),
    "service_kind": pa.string(),
    "start": TIME,
    "end": TIME,
    "revision": pa.int32(),
    "truth": pa.string(),
    "role": pa.string(),
    "in_force": pa.float64(),
    "visible": pa.float64(),
    "faults": pa.int32(),
    **_LABEL,
    "silent": pa.bool_(),
    "delay_us": pa.int64(),
    "actions": TEXTS,
    _FEATURES[0]: TEXTS,
    _FEATURES[1]: pa.list_(pa.field("item", pa.float64(), nullable=False)),
    "sha256": pa.string(),
}
_UNKNOWN_OF_WINDOW = ("role", "visible", *_LABEL, "silent")

WINDOWS = _nullable(_table(**_WINDOW), *_UNKNOWN_OF_WINDOW)
WINDOW_REVISIONS = _nullable(_table(**_WINDOW, final=pa.bool_()), *_UNKNOWN_OF_WINDOW, *_FEATURES)
LABELS = _nullable(
    _table(
        run_id=pa.string(),
        service=pa.string(),
        start=TIME,
        end=TIME,
        revision=pa.int32(),
        final=pa.bool_(),
        **_LABEL,
        role=pa.string(),
        visible=pa.float64(),
        instances=TEXTS,
        shared_with=TEXTS,
    ),
    "visible",
)
# Of telemetry, a column that may be null is null where the record says zero or nothing: "unknown" there.
METRICS = _nullable(
    _table(
        time=TIME,
        service=TEXT,
        instance=TEXT,
        name=TEXT,
        value=pa.float64(),
        interval_us=pa.int64(),
        age_us=pa.int64(),
        late=pa.bool_(),
    ),
    "instance",
    "interval_us",
)
LOGS = _nullable(
    _table(
        time=TIME,
        service=TEXT,
        instance=TEXT,
        template=TEXT,
        severity=pa.uint8(),
        trace_id=pa.string(),
        span_id=pa.string(),
        body=pa.string(),
        late=pa.bool_(),
    ),
    "instance",
    "severity",
    "trace_id",
    "span_id",
)
TRACES = _nullable(
    _table(
        time=TIME,
        start=TIME,
        duration_us=pa.int64(),
        service=TEXT,
        instance=TEXT,
        endpoint=TEXT,
        peer=TEXT,
        kind=TEXT,
        protocol=TEXT,
        error=pa.bool_(),
        trace_id=pa.string(),
        span_id=pa.string(),
        parent_id=pa.string(),
        late=pa.bool_(),
    ),
    "instance",
    "peer",
    "kind",
    "protocol",
    "trace_id",
    "span_id",
    "parent_id",
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
        parameters=pa.string(),
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
    "instance",
    "duration_us",
    "severity",
    "acted",
    "apply_evidence",
    "recovery_evidence",
    "effect_evidence",
    "reason",
)
EFFECTS = _nullable(
    _table(
        run_id=pa.string(),
        fault_id=pa.string(),
        fault_kind=pa.string(),
        service=pa.string(),
        root_service=pa.string(),
        relation=pa.string(),
        hops=pa.int32(),
        role=pa.string(),
        finding=pa.string(),
        first_deviating_at=TIME,
        first_within_us=pa.int64(),
        last_deviating_at=TIME,
        last_within_us=pa.int64(),
        intervals=pa.int32(),
        late_starts_us=_INSTANTS_US,
        late_ends_us=_INSTANTS_US,
        is_open=pa.bool_(),
        series=pa.string(),
        baseline=pa.float64(),
        value=pa.float64(),
        samples=pa.int64(),
        p_value=pa.float64(),
        shared_with=TEXTS,
        looked_until=TIME,
        is_final=pa.bool_(),
        evidence=pa.string(),
    ),
    "fault_kind",
    "hops",
    "first_deviating_at",
    "first_within_us",
    "last_deviating_at",
    "last_within_us",
    "series",
    "baseline",
    "value",
    "samples",
    "p_value",
    "looked_until",
    "evidence",
)
EFFECT_INTERVALS = _table(
    run_id=pa.string(),
    fault_id=pa.string(),
    service=pa.string(),
    number=pa.int32(),
    first_deviating_at=TIME,
    last_deviating_at=TIME,
    is_open=pa.bool_(),
)
_OPTIONAL_OF_ACTION = (
    *("container", "replaces", "from_host", "from_region", "to_host", "to_region"),
    *("begun_at", "serving_at", "ended_at", "cost_host_s", "requests_lost"),
)
ACTIONS = _nullable(
    _table(
        run_id=pa.string(),
        decision_id=pa.string(),
        service=pa.string(),
        what=pa.string(),
        origin=pa.string(),
        decided_by=pa.string(),
        why=pa.string(),
        policy=pa.string(),
        manager=pa.string(),
        container=pa.string(),
        replaces=pa.string(),
        from_host=pa.string(),
        from_region=pa.string(),
        to_host=pa.string(),
        to_region=pa.string(),
        decided_at=TIME,
        begun_at=TIME,
        serving_at=TIME,
        ended_at=TIME,
        outcome=pa.string(),
        is_final=pa.bool_(),
        cost_host_s=pa.float64(),
        requests_lost=pa.int64(),
    ),
    *_OPTIONAL_OF_ACTION,
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
GRAPH = _nullable(
    _table(
        run_id=pa.string(),
        start=TIME,
        end=TIME,
        caller=pa.string(),
        callee=pa.string(),
        callee_kind=pa.string(),
        calls=pa.int64(),
        errors=pa.int64(),
    ),
    "callee_kind",
)
_IDENTITY = {
    name: pa.string()
    for name in (
        "name",
        "namespace",
        "version",
        "environment",
        "host",
        "pod",
        "container",
        "pid",
        "executable",
        "language",
        "region",
    )
}
INSTANCES = _nullable(
    _table(
        run_id=pa.string(),
        service=pa.string(),
        instance=pa.string(),
        seen=TIME,
        kind=pa.string(),
        **_IDENTITY,
        scopes=TEXTS,
    ),
    "instance",
    *_IDENTITY,
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
    lost=pa.int64(),
)

TABLES: dict[str, pa.Schema] = {
    "windows.parquet": WINDOWS,
    "window_revisions.parquet": WINDOW_REVISIONS,
    "labels.parquet": LABELS,
    "effects.parquet": EFFECTS,
    "effect_intervals.parquet": EFFECT_INTERVALS,
    "metrics.parquet": METRICS,
    "logs.parquet": LOGS,
    "traces.parquet": TRACES,
    "faults.parquet": FAULTS,
    "fault_events.parquet": FAULTS,
    "actions.parquet": ACTIONS,
    "scores.parquet": SCORES,
    "graph.parquet": GRAPH,
    "instances.parquet": INSTANCES,
    "ledger.parquet": LEDGER,
}
"""Schema of every table by the name of its file."""
