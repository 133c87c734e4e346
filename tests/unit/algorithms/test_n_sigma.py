from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microservo.algorithms.shipped.moments import Moments
from microservo.algorithms.shipped.n_sigma import NSigma

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40)


def learned(detector: NSigma, *windows: dict[str, float]) -> NSigma:
    for x in windows:
        detector.learn_one(x)
    return detector


@given(VALUES)
def test_without_forgetting_the_moments_are_those_of_all_values(values: list[float]) -> None:
    moments = Moments()
    for value in values:
        moments.add(value, 0.0)
    assert moments.mean == pytest.approx(statistics.fmean(values), rel=1e-9, abs=1e-6)
    assert moments.variance == pytest.approx(statistics.pvariance(values), rel=1e-6, abs=1e-3)


@given(VALUES)
def test_the_variance_is_never_negative(values: list[float]) -> None:
    moments = Moments()
    for value in values:
        moments.add(value, 0.1)
    assert moments.variance >= 0


def test_a_new_level_is_the_normal_one_after_a_while() -> None:
    detector = learned(NSigma(memory_windows=5), *({"cpu": value} for value in (1.0, 1.2) * 20))
    alarm = detector.score_one({"cpu": 5.0})
    learned(detector, *({"cpu": value} for value in (5.0, 5.2) * 40))
    assert alarm > 4
    assert detector.score_one({"cpu": 5.0}) < 2


def test_six_windows_are_learned_before_the_first_score() -> None:
    detector = NSigma()
    readiness = []
    for value in (*(1.0, 2.0, 1.5) * 2, 1.0):
        readiness.append(not math.isnan(detector.score_one({"cpu": value})))
        detector.learn_one({"cpu": value})
    assert readiness == [False] * 6 + [True]


def test_a_new_feature_is_left_out_until_it_has_a_past() -> None:
    detector = learned(NSigma(), *({"cpu": value} for value in (1.0, 2.0) * 10))
    assert detector.score_one({"cpu": 1.5, "new": 1e9}) == detector.score_one({"cpu": 1.5})


def test_a_window_of_unknown_features_only_can_not_be_scored() -> None:
    detector = learned(NSigma(), *({"cpu": value} for value in (1.0, 2.0) * 10))
    assert math.isnan(detector.score_one({"new": 1.0}))


def test_the_first_departure_from_a_constant_is_seen_and_bounded() -> None:
    detector = learned(NSigma(top_k=1, floor_ratio=0.05), *[{"error_share": 0.0}] * 80)
    assert detector.score_one({"error_share": 0.5}) == pytest.approx(60**0.5)
    assert detector.score_one({"error_share": 1e6}) == pytest.approx(60**0.5)


def test_a_feature_that_hardly_ever_moved_does_not_explode() -> None:
    detector = learned(NSigma(top_k=1), *({"ticks": value} for value in (5000.0, 5000.001) * 20))
    assert detector.score_one({"ticks": 5001.0}) < 0.1


def test_top_k_asks_that_several_features_agree() -> None:
    past = [{"a/mean": value, "b/mean": value} for value in (-1.0, 1.0) * 20]
    one, two = learned(NSigma(top_k=1), *past), learned(NSigma(top_k=2), *past)
    assert one.score_one({"a/mean": 8.0, "b/mean": 0.0}) == pytest.approx(
        2 * two.score_one({"a/mean": 8.0, "b/mean": 0.0}), rel=0.1
    )


def test_a_parameter_that_is_not_positive_is_refused() -> None:
    with pytest.raises(ValueError, match="top_k"):
        NSigma(top_k=0)
