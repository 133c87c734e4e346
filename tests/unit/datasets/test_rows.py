"""Packed rows come out sorted and without repetitions, however batched, cut and shared among readers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from microservo.datasets.rows import in_order
from microservo.datasets.slices import SLICE_US
from microservo.datasets.tables import TABLES
from microservo.datasets.telemetry import RowBuffer
from microservo.domain.watermarks import NOTHING_PASSED, Passed
from microservo.domain.window_policy import WindowPolicy
from schemas.records import LogBatch

POLICY = WindowPolicy(size_us=3_000_000, first_cut_us=1_000_000, final_cut_us=5_000_000)
FOREVER_US = 1 << 62
SERVICES = ("cart", "checkout")
BODIES = ("a", "b", "é")
FIRST_SLICE = 84

Line = tuple[int, int, int, int]
"""Microseconds since the first slice; numbers of template and body; id, 0 for none."""
LINES = st.tuples(
    st.sampled_from([0, 1, 2_999_999, 3_000_000, SLICE_US - 1, SLICE_US, 2 * SLICE_US + 7]),
    st.integers(0, 1),
    st.integers(0, 2),
    st.integers(0, 3),
)
BATCHES = st.lists(
    st.tuples(st.sampled_from(SERVICES), st.lists(LINES, max_size=6), st.integers(-2, 60)), max_size=12
)


def at_us(line: Line) -> int:
    return FIRST_SLICE * SLICE_US + line[0]


def batch_of(service: str, lines: Sequence[Line], *, turned: bool) -> LogBatch:
    """A batch; where `turned`, its dictionary is the other way round."""
    templates = ("y", "x") if turned else ("x", "y")
    return LogBatch(
        run_id="run",
        service=service,
        instances=(f"{service}-0",),
        templates=templates,
        time_us=np.array([at_us(line) for line in lines], "<i8").tobytes(),
        instance=bytes(2 * len(lines)),
        severity=bytes([9] * len(lines)),
        template=np.array([templates.index("xy"[line[1]]) for line in lines], "<u2").tobytes(),
        trace_id=bytes(16 * len(lines)),
        span_id=bytes(8 * len(lines)),
        line_id=np.array([line[3] for line in lines], "<u8").tobytes(),
        bodies=tuple(BODIES[line[2]] for line in lines),
    )


def table(batches: Sequence[tuple[str, list[Line], int]], readers: int) -> list[tuple[Any, ...]]:
    """The rows as they stand in the dataset, with the batches dealt out to readers."""
    buffers = [RowBuffer("logs", POLICY) for _ in range(readers)]
    for number, (service, lines, stamp_s) in enumerate(batches):
        batch = batch_of(service, lines, turned=bool(number % 2))
        stamp_us = FIRST_SLICE * SLICE_US + stamp_s * 1_000_000
        late = Passed(stamp_us - POLICY.first_cut_us, stamp_us - POLICY.final_cut_us)
        buffers[number % readers].add(batch, late)
    slices: dict[int, list[pa.Table]] = {}
    for buffer in buffers:
        for slice_number, packed in buffer.release(FOREVER_US):
            slices.setdefault(slice_number, []).append(packed)
        assert len(buffer) == 0
    tables = [in_order("logs", number, slices[number], POLICY) for number in sorted(slices)]
    whole = pa.concat_tables([TABLES["logs.parquet"].empty_table(), *tables])
    columns = ("service", "template", "body", "late")
    times = whole.column("time").cast(pa.int64()).to_pylist()
    return list(zip(times, *(whole.column(name).to_pylist() for name in columns), strict=True))


def expected(batches: Sequence[tuple[str, list[Line], int]]) -> list[tuple[Any, ...]]:
    """The same, one row at a time: of each id in a window and service one, on time if it ever was."""
    rows: list[tuple[Any, ...]] = []
    named: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for service, lines, stamp_s in batches:
        for line in lines:
            start_us = POLICY.start_of(at_us(line))
            waited_us = FIRST_SLICE * SLICE_US + stamp_s * 1_000_000 - start_us - POLICY.size_us
            if waited_us >= POLICY.final_cut_us:
                continue
            late = waited_us >= POLICY.first_cut_us
            row = (at_us(line), service, "xy"[line[1]], BODIES[line[2]], late)
            if line[3]:
                key = (start_us, service, line[3])
                named[key] = min(row, named.get(key, row), key=lambda row: (row[4], *row[:4]))
            else:
                rows.append(row)
    rows += named.values()
    return sorted(rows, key=lambda row: (POLICY.start_of(row[0]), row[1], row[0], *row[2:]))


@settings(deadline=None)
@given(batches=BATCHES, readers=st.integers(1, 3))
def test_rows_are_those_that_came_in_time_sorted_and_without_what_was_sent_again(
    batches: list[tuple[str, list[Line], int]], readers: int
) -> None:
    assert table(batches, readers) == expected(batches)


def test_what_comes_for_a_slice_that_is_gone_is_let_go() -> None:
    buffer = RowBuffer("logs", POLICY)
    buffer.add(batch_of("cart", [(0, 0, 0, 0)], turned=False), NOTHING_PASSED)
    assert [number for number, _ in buffer.release((FIRST_SLICE + 1) * SLICE_US)] == [FIRST_SLICE]
    buffer.add(batch_of("cart", [(1, 0, 0, 0)], turned=False), NOTHING_PASSED)
    assert list(buffer.release(FOREVER_US)) == []
    assert len(buffer) == 0


def test_times_that_are_far_apart_take_no_more_room_than_their_rows() -> None:
    buffer = RowBuffer("logs", POLICY)
    buffer.add(batch_of("cart", [(0, 0, 0, 0), (10**15, 0, 0, 0)], turned=False), NOTHING_PASSED)
    assert [packed.num_rows for _, packed in buffer.release(FOREVER_US)] == [2, 2]
