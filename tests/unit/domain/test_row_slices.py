"""Rows that were read together are told apart by time, each in one slice, with all that belongs to it."""

from __future__ import annotations

import numpy as np

from microservo.domain.row_slices import event_us, time_slices
from microservo.domain.rows import Links, LogRows, MetricRows, SpanRows, coded


def metrics(*times_us: int) -> MetricRows:
    names = coded([f"m{time_us % 2}" for time_us in times_us])
    value = np.array(times_us, np.float64)
    return MetricRows(service="a", instance="", time_us=np.array(times_us), name=names, value=value)


def test_each_row_is_in_the_slice_that_holds_its_instant_and_ends_belong_to_the_next() -> None:
    slices = time_slices([metrics(9, 0, 10, 19, 20, 25)], [10, 20])
    assert [[row.time_us.tolist() for row in rows if isinstance(row, MetricRows)] for rows in slices] == [
        [[0, 9]],
        [[10, 19]],
        [[20, 25]],
    ]
    (first,), *_ = slices
    assert isinstance(first, MetricRows)
    assert [first.name.names[code] for code in first.name.codes] == ["m0", "m1"]
    assert first.value.tolist() == [0.0, 9.0]


def test_names_that_do_not_occur_in_a_slice_are_not_in_it() -> None:
    (first,), (second,), _ = time_slices([metrics(1, 12)], [10, 20])
    assert isinstance(first, MetricRows)
    assert isinstance(second, MetricRows)
    assert (first.name.names, second.name.names) == (("m1",), ("m0",))


def test_a_span_is_told_at_its_end_and_keeps_its_links() -> None:
    ids = np.array([b"1", b"2", b"3"], "V8")
    traces = np.array([b"x", b"y"], "V16")
    rows = SpanRows(
        service="a",
        instance="",
        start_us=np.array([0, 5, 8]),
        duration_us=np.array([15, 1, 1]),
        endpoint=coded(["slow", "quick", "quick"]),
        peer=coded(["", "", ""]),
        address=coded(["", "", ""]),
        kind=np.full(3, 2, np.uint8),
        protocol=np.zeros(3, np.uint8),
        error=np.array([1, 0, 0], np.uint8),
        trace_id=np.zeros(3, "V16"),
        span_id=ids,
        parent_id=np.zeros(3, "V8"),
        links=Links(row=np.array([0, 2]), trace_id=traces, span_id=ids[:2]),
    )
    assert event_us(rows).tolist() == [15, 6, 9]
    (first,), (second,), rest = time_slices([rows], [10, 20])
    assert not rest
    assert isinstance(first, SpanRows)
    assert isinstance(second, SpanRows)
    assert (first.start_us.tolist(), second.start_us.tolist()) == ([5, 8], [0])
    assert (second.endpoint.names, second.error.tolist()) == (("slow",), [1])
    assert first.links is not None
    assert second.links is not None
    assert (first.links.row.tolist(), second.links.row.tolist()) == ([1], [0])
    assert first.links.trace_id[0] == traces[1]


def test_lines_keep_their_text() -> None:
    rows = LogRows(
        service="a",
        instance="",
        time_us=np.array([11, 3]),
        severity=np.array([9, 17], np.uint8),
        template=coded(["late", "early"]),
        trace_id=np.zeros(2, "V16"),
        span_id=np.zeros(2, "V8"),
        line_id=np.array([1, 2], np.uint64),
        bodies=("late", "early"),
    )
    (first,), (second,) = time_slices([rows], [10])
    assert isinstance(first, LogRows)
    assert isinstance(second, LogRows)
    assert (first.bodies, second.bodies) == (("early",), ("late",))
    assert (first.severity.tolist(), first.template.names) == ([17], ("early",))
