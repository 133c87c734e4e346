"""Rows are ordered as NumPy orders them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from microservo.domain.ordering import order_by

INT64 = st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-2, 2)
INT32 = st.integers(-(1 << 31), (1 << 31) - 1) | st.integers(-2, 2)


@given(st.lists(st.tuples(INT64, INT32), min_size=1, max_size=60))
def test_wide_integers_are_ordered_whatever_their_sign(rows: list[tuple[int, int]]) -> None:
    minor = np.array([row[0] for row in rows], np.int64)
    major = np.array([row[1] for row in rows], np.int32)
    assert order_by(minor, major).tolist() == np.lexsort((minor, major)).tolist()
