"""Rows are ordered as NumPy orders them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microservo.domain.ordering import order_by

INT64 = st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-2, 2)
SMALL = st.integers(-4, 4)
INT32 = st.integers(-(1 << 31), (1 << 31) - 1) | st.integers(-2, 2)


@given(st.lists(st.tuples(INT64, INT32), min_size=1, max_size=60))
def test_wide_integers_are_ordered_whatever_their_sign(rows: list[tuple[int, int]]) -> None:
    minor = np.array([row[0] for row in rows], np.int64)
    major = np.array([row[1] for row in rows], np.int32)
    assert order_by(minor, major).tolist() == np.lexsort((minor, major)).tolist()


@given(st.lists(st.tuples(SMALL, SMALL, SMALL), min_size=1, max_size=60))
def test_rows_that_agree_in_all_columns_stay_as_they_were(rows: list[tuple[int, int, int]]) -> None:
    least, minor, major = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    ordered = order_by(least, minor.astype(np.int32), major)
    assert ordered.tolist() == np.lexsort((least, minor, major)).tolist()


@pytest.mark.parametrize("rows", [0, 1, 5000])
def test_any_number_of_rows_is_ordered_by_columns_far_from_zero(rows: int) -> None:
    rng = np.random.default_rng(1)
    time_us = 1_800_000_000_000_000 + rng.integers(0, 5_000_000, rows)
    place = rng.integers(-20, 3, rows).astype(np.int32)
    unsigned = (1 << 63) + rng.integers(0, 9, rows).astype(np.uint64)
    expected = np.lexsort((time_us, place, unsigned))
    assert order_by(time_us, place, unsigned).tolist() == expected.tolist()


def test_columns_that_differ_too_much_for_one_number_are_ordered_too() -> None:
    minor = np.array([5, -(1 << 62), 5, 1 << 62], np.int64)
    major = np.array([1, 0, 0, 0], np.int64)
    assert order_by(minor, major).tolist() == [1, 2, 3, 0]
