from __future__ import annotations

import numpy as np
import pytest

from microservo.domain.effects.columns import Columns


def columns(kept_us: int = 1_000_000, most: int = 1000) -> Columns:
    return Columns(order="begin_us", identity="id", kept_us=kept_us, most=most)


def add(target: Columns, begins_us: list[int], ids: list[int]) -> None:
    target.add(begin_us=np.array(begins_us, np.int64), id=np.array(ids, np.uint64))


def test_records_lie_in_order_however_they_came() -> None:
    some = columns()
    add(some, [30, 10], [3, 1])
    assert some.all()["id"].tolist() == [1, 3]
    add(some, [20, 40, 5], [2, 4, 0])
    assert some.all()["id"].tolist() == [0, 1, 2, 3, 4]


def test_a_record_that_comes_again_counts_once_and_another_of_the_same_instant_counts_too() -> None:
    some = columns()
    add(some, [10, 10, 20], [1, 2, 3])
    some.all()
    add(some, [10, 20, 20], [1, 3, 4])
    assert some.all()["id"].tolist() == [1, 2, 3, 4]


def test_what_is_old_is_forgotten() -> None:
    some = columns(kept_us=100)
    add(some, [0, 50, 100], [1, 2, 3])
    some.all()
    add(some, [151], [4])
    assert some.all()["id"].tolist() == [3, 4]


def test_more_than_the_bound_is_never_kept() -> None:
    some = columns(most=100)
    for number in range(50):
        add(some, list(range(number * 10, number * 10 + 10)), list(range(10)))
        assert len(some.all()["id"]) <= 100
    assert some.all()["begin_us"][-1] == 499


@pytest.mark.parametrize(("from_us", "until_us", "ids"), [(0, 100, [1, 2, 3]), (20, 30, [2]), (31, 99, [])])
def test_a_range_holds_what_began_in_it(from_us: int, until_us: int, ids: list[int]) -> None:
    some = columns()
    add(some, [10, 20, 30], [1, 2, 3])
    assert some.between(from_us, until_us)["id"].tolist() == ids
