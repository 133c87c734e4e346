"""Rows have one order, whatever order they came in."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from microservo.domain.datasets.ordering import Index, Key, canonical_order, ranked

Row = tuple[int, str, str, int, bool]
ROWS = st.lists(
    st.tuples(
        st.integers(0, 5), st.sampled_from("ab"), st.sampled_from("xyz"), st.integers(0, 2), st.booleans()
    ),
    max_size=60,
)


def ordered(rows: Sequence[Row], *, limit: int = 6, kept: Sequence[bool] = ()) -> list[Row]:
    """The rows by `canonical_order`; the last column is the one that does not tell rows apart."""
    columns = [column(row[0] for row in rows)]
    for place in (1, 2):
        ranks = ranked(str(row[place]) for row in rows)
        columns.append(column(ranks[str(row[place])] for row in rows))
    values, late = column(row[3] for row in rows), column(row[4] for row in rows)
    keys = [Key(columns[0], limit), Key(columns[1], 3), Key(columns[2], 3)]

    def ties(index: Index) -> list[NDArray[np.int64]]:
        return [values[index], late[index]]

    counted = np.array(kept or [True] * len(rows), bool)
    return [rows[place] for place in canonical_order(keys, counted, ties)]


def column(values: Iterable[int]) -> NDArray[np.int64]:
    return np.array(list(values), np.int64)


@given(rows=ROWS, seed=st.integers(0, 1000))
def test_any_arrival_gives_the_same_order(rows: list[Row], seed: int) -> None:
    shuffled = random.Random(seed).sample(rows, len(rows))
    assert ordered(shuffled) == ordered(rows)


@given(rows=ROWS)
def test_rows_are_sorted_and_each_different_one_is_there_once(rows: list[Row]) -> None:
    result = ordered(rows)
    assert result == sorted(result)
    assert [row[:4] for row in result] == sorted({row[:4] for row in rows})


def test_of_rows_that_differ_in_lateness_alone_the_one_on_time_stays() -> None:
    assert ordered([(1, "a", "x", 0, True), (1, "a", "x", 0, False)]) == [(1, "a", "x", 0, False)]


@given(rows=ROWS)
def test_keys_too_large_to_be_packed_give_the_same_order(rows: list[Row]) -> None:
    assert ordered(rows, limit=1 << 62) == ordered(rows)


@pytest.mark.parametrize("limit", [6, 1 << 62])
@given(rows=ROWS, seed=st.integers(0, 1000))
def test_rows_that_do_not_count_change_nothing(limit: int, rows: list[Row], seed: int) -> None:
    rng = random.Random(seed)
    kept = [rng.random() < 0.5 for _ in rows]
    counted = [row for row, counts in zip(rows, kept, strict=True) if counts]
    assert ordered(rows, limit=limit, kept=kept) == ordered(counted)


def test_texts_are_ranked_by_code_point() -> None:
    assert ranked(["é", "b", "a", "b"]) == {"a": 0, "b": 1, "é": 2}


def test_no_rows_have_an_order_too() -> None:
    assert ordered([]) == []
