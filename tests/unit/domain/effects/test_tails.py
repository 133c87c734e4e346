from __future__ import annotations

from math import atan, pi, sqrt

import pytest

from microservo.domain.effects.tails import poisson_tail, upper_tail


# Critical values of tables: t, degrees of freedom, one-sided probability.
@pytest.mark.parametrize(
    ("t", "degrees", "probability"),
    [
        (6.313752, 1, 0.05),
        (2.919986, 2, 0.05),
        (2.228139, 10, 0.025),
        (3.169273, 10, 0.005),
        (4.143700, 10, 0.001),
        (2.326348, 1e9, 0.01),
        (0.0, 5, 0.5),
        (-2.228139, 10, 0.975),
    ],
)
def test_the_tail_is_that_of_the_tables(t: float, degrees: float, probability: float) -> None:
    assert upper_tail(t, degrees) == pytest.approx(probability, rel=2e-4)


def test_the_tail_is_right_far_out_where_it_is_known_in_closed_form() -> None:
    x = 40 / sqrt(3)
    three_degrees = 0.5 - (x / (1 + x * x) + atan(x)) / pi
    assert upper_tail(40, 3) == pytest.approx(three_degrees, rel=1e-6)
    assert upper_tail(1e6, 1) == pytest.approx(1 / (pi * 1e6), rel=1e-6)


@pytest.mark.parametrize(
    ("count", "expected", "lower", "probability"),
    [
        (0, 10.0, True, 4.539993e-5),
        (2, 3.0, True, 0.4231901),
        (5, 3.0, False, 0.1847368),
        (3, 3.0, True, 1.0),
        (2, 3.0, False, 1.0),
        (0, 2000.0, True, 0.0),
    ],
)
def test_the_tails_of_counts_are_those_of_poisson(
    count: int, expected: float, lower: bool, probability: float
) -> None:
    assert poisson_tail(count, expected, lower=lower) == pytest.approx(probability, rel=1e-6)
