"""What is packed is what is read."""

import dataclasses
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microservo.domain.bounded_names import OTHER, BoundedNames
from microservo.domain.identity import Identity
from microservo.domain.packing import MAX_BODY_BYTES, MAX_RECORDS, pack_logs, pack_metrics, pack_spans
from microservo.domain.rows import LogRows, MetricRows, SpanRows, coded, id_column
from microservo.domain.telemetry import (
    LAYOUTS,
    LogColumns,
    MetricColumns,
    Signal,
    SpanColumns,
    log_columns,
    metric_columns,
    record_count,
    span_columns,
)
from schemas.codec import SchemaError, decode, encode

SENDER = {"service", "identity", "scopes"}
POINTS = st.lists(
    st.tuples(
        st.sampled_from(["", "cart-0", "cart-1"]),
        st.sampled_from(["cpu", "memory", "queue"]),
        st.integers(0, 2**52),
        st.floats(allow_nan=False, allow_infinity=False),
    ),
    min_size=1,
    max_size=1200,
)
Point = tuple[str, str, int, float]


def keep(name: str) -> str:
    return name


def metric_rows(points: list[Point]) -> list[MetricRows]:
    """One group per point, as if each had come alone."""
    return [
        MetricRows(
            service="cart",
            instance=instance,
            time_us=np.array([time_us], np.int64),
            name=coded([name]),
            value=np.array([value]),
        )
        for instance, name, time_us, value in points
    ]


@settings(deadline=None)
@given(POINTS)
def test_metric_points_come_back_sorted_by_time(points: list[Point]) -> None:
    batches = list(pack_metrics("run", metric_rows(points)))
    found: list[Point] = []
    for batch in batches:
        columns = metric_columns(batch)
        found += [
            (batch.instances[instance], batch.names[name], time_us, value)
            for instance, name, time_us, value in zip(
                columns.instance.tolist(),
                columns.name.tolist(),
                columns.time_us.tolist(),
                columns.value.tolist(),
                strict=True,
            )
        ]
    assert found == sorted(points, key=lambda point: point[2])
    assert all(record_count(batch) <= MAX_RECORDS for batch in batches)


@settings(deadline=None)
@given(POINTS)
def test_a_dictionary_holds_only_what_occurs_in_its_batch(points: list[Point]) -> None:
    for batch in pack_metrics("run", metric_rows(points)):
        columns = metric_columns(batch)
        assert set(columns.name.tolist()) == set(range(len(batch.names)))
        assert set(columns.instance.tolist()) == set(range(len(batch.instances)))


def log_rows(bodies: list[str]) -> LogRows:
    count = len(bodies)
    return LogRows(
        service="cart",
        instance="cart-0",
        time_us=np.arange(count, dtype=np.int64)[::-1] + 1,
        severity=np.full(count, 9, np.uint8),
        template=coded(body[:3] for body in bodies),
        trace_id=id_column([b"t" * 16] * count, 16),
        span_id=id_column([index.to_bytes(8, "big") for index in range(count)], 8),
        line_id=np.arange(count, dtype=np.uint64) + 7,
        bodies=tuple(bodies),
    )


def test_log_lines_come_back_with_their_bodies() -> None:
    (batch,) = pack_logs("run", [log_rows(["abc 1", "abc 2", "xyz"])], admit_template=keep)
    columns = log_columns(batch)
    assert batch.bodies == ("xyz", "abc 2", "abc 1")
    assert [batch.templates[index] for index in columns.template.tolist()] == ["xyz", "abc", "abc"]
    assert columns.time_us.tolist() == [1, 2, 3]
    assert batch.span_id == b"".join(index.to_bytes(8, "big") for index in (2, 1, 0))
    assert batch.trace_id == b"t" * 48
    assert columns.line_id.tolist() == [9, 8, 7]


def test_lines_of_a_batch_without_identities_have_none() -> None:
    (batch,) = pack_logs("run", [log_rows(["abc 1", "abc 2"])], admit_template=keep)
    assert log_columns(replace(batch, line_id=b"")).line_id.tolist() == [0, 0]
    with pytest.raises(SchemaError, match="column line_id has 1 entries; expected 2"):
        decode(encode(replace(batch, line_id=bytes(8))))


@pytest.mark.parametrize(
    ("signal", "rows_type", "columns_type", "not_sent"),
    [
        ("metrics", MetricRows, MetricColumns, {"is_metered"}),
        ("logs", LogRows, LogColumns, set()),
        ("traces", SpanRows, SpanColumns, {"address", "links"}),
    ],
)
def test_rows_and_columns_have_the_fields_that_the_schema_declares(
    signal: Signal, rows_type: type, columns_type: type, not_sent: set[str]
) -> None:
    layout = LAYOUTS[signal]
    declared = {*layout.numbers, *layout.arrays}
    assert {field.name for field in dataclasses.fields(rows_type)} == {*SENDER, *declared, *not_sent}
    assert {field.name for field in dataclasses.fields(columns_type)} == {"time_us", *layout.numbers}


def test_long_lines_make_more_messages_not_larger_ones() -> None:
    bodies = ["x" * 16_000] * 100
    batches = list(pack_logs("run", [log_rows(bodies)], admit_template=keep))
    assert sum(map(record_count, batches)) == 100
    assert all(sum(map(len, batch.bodies)) <= MAX_BODY_BYTES for batch in batches)


def test_one_line_above_the_limit_still_goes_out() -> None:
    (batch,) = pack_logs("run", [log_rows(["x" * (MAX_BODY_BYTES + 1)])], admit_template=keep)
    assert record_count(batch) == 1


def span_rows(instance: str, names: list[str], start_us: list[int], duration_us: list[int]) -> SpanRows:
    count = len(names)
    ids = [index.to_bytes(8, "big") for index in start_us]
    return SpanRows(
        service="cart",
        instance=instance,
        start_us=np.array(start_us, np.int64),
        duration_us=np.array(duration_us, np.int64),
        endpoint=coded(names),
        peer=coded([""] * count),
        address=coded([""] * count),
        kind=np.full(count, 2, np.uint8),
        protocol=np.ones(count, np.uint8),
        error=np.zeros(count, np.uint8),
        trace_id=id_column([each * 2 for each in ids], 16),
        span_id=id_column(ids, 8),
        parent_id=id_column([b""] * count, 8),
    )


def test_spans_come_back_sorted_by_their_end() -> None:
    rows = [span_rows("cart-0", ["Get"], [100], [50]), span_rows("cart-1", ["Add"], [120], [10])]
    (batch,) = pack_spans("run", rows, admit_peer=keep)
    columns = span_columns(batch)
    assert columns.time_us.tolist() == [130, 150]
    assert [batch.endpoints[index] for index in columns.endpoint.tolist()] == ["Add", "Get"]
    assert [batch.instances[index] for index in columns.instance.tolist()] == ["cart-1", "cart-0"]
    assert batch.span_id == (120).to_bytes(8, "big") + (100).to_bytes(8, "big")
    assert batch.parent_id == bytes(16)


def test_names_beyond_the_bound_become_other() -> None:
    bound = BoundedNames(2)
    rows = log_rows(["a", "b", "c", "d", "a"])
    (batch,) = pack_logs("run", [rows], admit_template=lambda name: bound.admit("cart", name))
    columns = log_columns(batch)
    # Rows come in the order of time, the last line first.
    assert [batch.templates[index] for index in columns.template.tolist()] == ["a", OTHER, OTHER, "b", "a"]


def test_a_batch_says_what_sends_it_and_leaves_out_columns_without_numbers() -> None:
    (level,) = metric_rows([("cart-0", "cpu", 1, 0.5)])
    rate = replace(level, name=coded(["hits.rate"]), interval_us=np.array([1_000_000]))
    (batch,) = pack_metrics("run", [level])
    assert (batch.source_kind, batch.interval_us, batch.age_us) == ("service", b"", b"")
    (batch,) = pack_metrics("run", [replace(level, identity=Identity(kind="host")), rate])
    assert (batch.source_kind, batch.age_us) == ("host", b"")
    assert metric_columns(batch).interval_us.tolist() == [0, 1_000_000]


def test_each_service_has_a_bound_of_its_own() -> None:
    bound = BoundedNames(1)
    assert [bound.admit("a", "x"), bound.admit("b", "y"), bound.admit("a", "y")] == ["x", "y", OTHER]
