"""Windows as series: whatever is undefined has a value, and none is from the future."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from microservo.datasets.formats.source import Source
from microservo.datasets.formats.stretches import Stretches
from microservo.datasets.formats.window_series import filled, service_windows, window_rows

VALUES = st.floats(-1e9, 1e9) | st.sampled_from([float("nan"), float("inf")])


@given(st.lists(st.lists(VALUES, min_size=3, max_size=3), min_size=1, max_size=9))
def test_an_undefined_value_is_the_newest_defined_one_before_it(rows: list[list[float]]) -> None:
    before = np.array([1.0, 2.0, 3.0])
    newest = before.copy()
    found = filled(np.array(rows), before)
    for row, values in zip(found, rows, strict=True):
        newest = np.where(np.isfinite(values), values, newest)
        assert row.tolist() == newest.tolist()


def test_the_series_of_a_recorded_run_have_the_values_of_its_windows(original: Path) -> None:
    source = Source(original)
    services = service_windows(source)
    windows = pq.read_table(original / "windows.parquet").to_pylist()
    known = [row for row in windows if row["truth"] != "masked"]
    assert sum(len(each.start_us) for each in services.values()) == len(known)
    assert sum(each.masked for each in services.values()) == len(windows) - len(known) > 0
    found = {
        (name, start): values
        for name, rows in window_rows(source, {name: each.features for name, each in services.items()})
        for start, values in zip(rows.start_us.tolist(), rows.values, strict=True)
    }
    assert len(found) == len(known)
    for row in known:
        place = (row["service"], round(row["start"].timestamp() * 1e6))
        expected = dict(zip(row["feature_names"], row["feature_values"], strict=True))
        values = dict(zip(services[row["service"]].features, found[place].tolist(), strict=True))
        assert {name: value for name, value in values.items() if value == value} == {  # noqa: PLR0124 -- NaN
            name: value
            for name, value in expected.items()
            if value == value  # noqa: PLR0124
        }


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60))),
    st.integers(0, 60),
    st.integers(0, 60),
)
def test_stretches_contain_what_any_of_their_pairs_does(
    pairs: list[tuple[int, int]], begin: int, end: int
) -> None:
    found = Stretches.of(pairs)
    instants = np.arange(61)
    expected = [any(first <= instant < last for first, last in pairs) for instant in range(61)]
    assert found.contain(instants).tolist() == expected
    if begin < end:
        assert found.overlap(begin, end) == any(expected[begin:end])
    seconds = Stretches.of((first * 500_000, last * 500_000) for first, last in pairs)
    whole, touched = seconds.seconds_between(begin * 500_000, end * 500_000)
    assert whole.tolist() == list(range(-(-begin // 2), max(-(-begin // 2), end // 2)))
    assert touched.tolist() == [any(expected[2 * each : 2 * each + 2]) for each in whole.tolist()]
