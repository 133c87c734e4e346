from __future__ import annotations

import statistics

import pytest

from microservo.domain.topology import Load
from services.loadgen.curve import LoadCurve

DAY = Load(amplitude=0.3, period_s=600.0, noise=0.1, noise_s=10.0)


def rates(load: Load, seed: int, seconds: int = 6000) -> list[float]:
    curve = LoadCurve(load, seed)
    return [curve(float(second)) for second in range(seconds)]


def test_the_same_seed_has_the_same_day_and_another_begins_elsewhere_in_it() -> None:
    assert rates(DAY, 7) == rates(DAY, 7)
    assert rates(DAY, 7) != rates(DAY, 8)


def test_the_rate_swings_about_the_one_asked_for() -> None:
    smooth = rates(Load(amplitude=0.3, period_s=600.0), 7)
    assert statistics.mean(smooth) == pytest.approx(1.0, abs=0.01)
    assert min(smooth) == pytest.approx(0.7, abs=0.01)
    assert max(smooth) == pytest.approx(1.3, abs=0.01)
    assert smooth[0] == pytest.approx(smooth[600])


def test_noise_is_drawn_anew_after_its_while() -> None:
    noise = rates(Load(noise=0.1, noise_s=10.0), 7)
    assert len(set(noise)) == 600
    assert noise[0] == noise[9] != noise[10]
    assert statistics.stdev(noise) == pytest.approx(0.1, rel=0.2)


def test_without_a_curve_the_rate_is_steady() -> None:
    assert set(rates(Load(), 7)) == {1.0}
