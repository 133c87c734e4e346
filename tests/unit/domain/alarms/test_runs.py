from __future__ import annotations

import numpy as np
import pytest

from microservo.domain.alarms.runs import level, row_minima
from microservo.domain.alarms.tail import exceeded


def test_scores_in_a_row_reach_the_smallest_of_them() -> None:
    values = np.array([3.0, 1.0, 4.0, 1.5, 5.0])
    assert row_minima(values, 1).tolist() == values.tolist()
    assert row_minima(values, 3).tolist() == [1.0, 1.0, 1.5]
    assert row_minima(values, 6).tolist() == []


def test_an_exponential_excess_lies_beyond_as_often_as_is_asked_for_however_few_were_seen() -> None:
    rng = np.random.default_rng(1)
    seen = rng.standard_exponential((20_000, 3))
    beyond = np.array([exceeded(each, 0, 100.0) for each in seen])
    assert np.exp(-beyond).mean() == pytest.approx(0.01, rel=0.1)


def test_what_is_known_only_to_be_at_least_so_large_does_not_shorten_the_tail() -> None:
    rng = np.random.default_rng(2)
    seen = np.sort(rng.standard_exponential((20_000, 8)))
    seen[:, -1] = seen[:, -2]
    beyond = np.array([exceeded(each, 1, 100.0) for each in seen])
    assert np.exp(-beyond).mean() == pytest.approx(0.01, rel=0.1)


def test_values_that_are_high_together_are_one_peak_and_tell_less() -> None:
    together, apart = np.zeros(40), np.zeros(40)
    together[[20, 21, 23]] = apart[[5, 20, 35]] = 1.0
    ended = np.zeros(40)
    ended[[20, 21, 24]] = 1.0
    one, two, three = (level([values], 0.001) or 0.0 for values in (together, ended, apart))
    assert one > two > three > 1.0


def test_without_a_peak_there_is_no_level() -> None:
    assert level([np.zeros(10), np.zeros(10)], 0.01) is None
    assert level([np.empty(0)], 0.01) is None
