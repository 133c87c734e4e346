"""Rows have one order, whatever order they came in."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from microservo.domain.datasets.ordering import Index, Vocabulary, canonical_order, series

Row = tuple[int, str, str, int, bool]
ROWS = st.lists(
    st.tuples(
        st.integers(0, 5), st.sampled_from("ab"), st.sampled_from("xyz"), st.integers(0, 2), st.booleans()
    ),
    max_size=60,
)


def ordered(rows: Sequence[Row]) -> list[Row]:
    """The rows by `canonical_order`; the last column is the one that does not tell rows apart."""
    if not rows:
        return []
    first, second = Vocabulary(), Vocabulary()
    texts = [
        (np.concatenate([first.codes((row[1],)) for row in rows]), first),
        (np.concatenate([second.codes((row[2],)) for row in rows]), second),
    ]
    values = np.array([row[3] for row in rows], np.int64)
    late = np.array([row[4] for row in rows], np.int64)

    def ties(index: Index) -> list[NDArray[np.int64]]:
        return [values[index], late[index]]

    order = canonical_order(np.array([row[0] for row in rows], np.int64), series(texts), ties)
    return [rows[place] for place in order]


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


def test_times_that_are_far_apart_are_sorted_too() -> None:
    rows = [(time, "a", "x", 0, False) for time in (1 << 61, 0, 1 << 60)]
    assert [row[0] for row in ordered(rows)] == [0, 1 << 60, 1 << 61]


def test_the_order_of_texts_does_not_depend_on_when_they_were_met() -> None:
    early, late = Vocabulary(), Vocabulary()
    early.codes(("b", "a", "é"))
    late.codes(("é", "a", "b"))
    assert [early.texts()[code] for code in np.argsort(early.ranks())] == ["a", "b", "é"]
    assert [late.texts()[code] for code in np.argsort(late.ranks())] == ["a", "b", "é"]


def test_no_rows_have_an_order_too() -> None:
    none = np.empty(0, np.int64)
    assert len(canonical_order(none, none, lambda _: [])) == 0
