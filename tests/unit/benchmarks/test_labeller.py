"""What is made of looks at a labeller."""

from __future__ import annotations

import pytest

from benchmarks.labeller import Look, halves


def look(messages: int, cpu_s: float) -> Look:
    return Look(at_s=0.0, messages=messages, cpu_s=cpu_s, rss_bytes=0)


def test_halves_of_a_steady_run_cost_the_same() -> None:
    assert halves([look(10, 1.0), look(40, 4.0), look(110, 11.0)]) == pytest.approx(1.0)


def test_a_second_half_that_costs_twice_as_much_shows() -> None:
    assert halves([look(0, 0.0), look(50, 5.0), look(100, 15.0)]) == pytest.approx(2.0)
