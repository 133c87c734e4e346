from __future__ import annotations

import math

import pytest

from microservo.algorithms.fenced.cases import Case


def peak(values: list[float], alarm_s: float = 4.0) -> float:
    """Of one feature with a value a second, since an alarm."""
    times_s = [float(second) for second in range(len(values))]
    return Case(alarm_s, times_s, {"cart": {"cpu": values}}, []).peaks()["cart"]["cpu"]


def test_a_peak_is_told_in_interquartile_ranges_of_before() -> None:
    assert peak([1.0, 2.0, 3.0, 4.0, 2.0, 10.0, 2.0]) == pytest.approx((10 - 2.5) / 1.5)


def test_what_fell_has_a_negative_peak() -> None:
    assert peak([1.0, 2.0, 3.0, 4.0, 0.0, 1.0]) == pytest.approx(-1.0)


def test_what_never_moved_is_told_in_its_own_unit() -> None:
    assert peak([5.0, 5.0, 5.0, 5.0, 7.0]) == 2.0
    assert peak([5.0, math.nan, math.nan, math.nan, 7.0]) == 2.0


def test_what_is_defined_on_one_side_only_has_none() -> None:
    assert peak([math.nan] * 4 + [7.0]) == 0.0
    assert peak([1.0, 2.0, 3.0, 4.0, math.nan]) == 0.0
