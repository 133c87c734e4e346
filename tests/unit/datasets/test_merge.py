"""Slices of several readers become one sequence."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from microservo.adapters.broker import Partition
from microservo.datasets.merge import Merge, Stored, merged_outcome
from microservo.datasets.share import Outcome, Share
from microservo.datasets.slices import SLICE_US, by_slice
from microservo.datasets.workers import divided
from microservo.domain.window_policy import WindowPolicy


def test_a_slice_waits_for_the_slowest_reader() -> None:
    merge = Merge(2, WindowPolicy())
    merge.add(0, Stored(4, dict))
    assert list(merge.advance(0, 9)) == []
    merge.add(1, Stored(4, dict))
    assert list(merge.advance(1, 4)) == []
    assert len(list(merge.advance(1, 5))) == 1
    assert list(merge.advance(1, 9)) == []


def test_rows_are_cut_by_time() -> None:
    times = [0, 1, SLICE_US, 5 * SLICE_US + 1]
    cut = dict(by_slice(pa.table({"time_us": times}), "time_us"))
    assert {number: table.num_rows for number, table in cut.items()} == {0: 2, 1: 1, 5: 1}
    assert list(by_slice(pa.table({"time_us": pa.array([], pa.int64())}), "time_us")) == []


def test_counts_of_readers_are_summed() -> None:
    one = Outcome(totals={"telemetry-logs": {"messages": 2}}, final_us={0: 7}, unfinished=[("a", 1)])
    other = replace(one, final_us={1: 9})
    merged = merged_outcome([one, other])
    assert merged.totals == {"telemetry-logs": {"messages": 4}}
    assert merged.final_us == {0: 7, 1: 9}
    assert merged.unfinished == [("a", 1)]


@given(loads=st.lists(st.integers(0, 50), min_size=1, max_size=12), count=st.integers(1, 4))
def test_every_partition_number_is_read_once(loads: list[int], count: int) -> None:
    share = Share(
        run_id="run",
        prefix="",
        policy=WindowPolicy(),
        writers=(),
        partition_numbers=list(range(len(loads))),
        ranges={Partition("t", number): (0, load) for number, load in enumerate(loads)},
        from_us=0,
        is_over=True,
        batch=1,
    )
    parts = divided(share, count)
    assert sorted(number for part in parts for number in part.partition_numbers) == share.partition_numbers
    assert {each for part in parts for each in part.ranges} == set(share.ranges)
