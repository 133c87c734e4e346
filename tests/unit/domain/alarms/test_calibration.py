from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microservo.domain.alarms import Calibration, Threshold
from microservo.errors import InvalidInput

WINDOW_US = 5_000_000
SERVICES = [f"service-{number}" for number in range(11)]


def calibrated(scores: dict[str, list[float]], alarms_per_hour: float = 1.0) -> Threshold:
    calibration = Calibration(alarms_per_hour=alarms_per_hour, window_us=WINDOW_US)
    for service, values in scores.items():
        for value in values:
            calibration.add(service, value)
    threshold = calibration.threshold()
    assert threshold is not None
    return threshold


def false_alarms_per_hour(threshold: Threshold, rng: np.random.Generator, shape: str) -> float:
    """Windows above the threshold in ten hours without faults."""
    windows = 10 * 720
    found = 0
    for number, service in enumerate(SERVICES):
        scores = getattr(rng, shape)(size=windows) * (number + 1)
        found += int((scores > threshold.of(service)).sum())
    return found / 10


@pytest.mark.parametrize("shape", ["standard_normal", "standard_exponential"])
@pytest.mark.parametrize("windows", [12, 60, 720])
def test_about_as_many_false_alarms_come_as_were_asked_for(shape: str, windows: int) -> None:
    rates = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        scores = {
            service: (getattr(rng, shape)(size=windows) * (number + 1)).tolist()
            for number, service in enumerate(SERVICES)
        }
        rates.append(false_alarms_per_hour(calibrated(scores), rng, shape))
    # From one minute of each service, the tail is a guess: right to about a factor of ten.
    assert np.median(rates) < {12: 10.0, 60: 4.0, 720: 2.5}[windows]


def test_the_threshold_is_in_the_size_of_each_services_own_scores() -> None:
    rng = np.random.default_rng(1)
    small, large = rng.standard_normal(200), 1000 + 100 * rng.standard_normal(200)
    threshold = calibrated({"small": small.tolist(), "large": large.tolist()})
    assert 2 < threshold.of("small") < 20
    assert 1200 < threshold.of("large") < 3000


def test_no_score_that_was_seen_without_a_fault_is_above_where_few_were_seen() -> None:
    scores = {"a": [0.0, 0.1, 0.2, 0.1, 9.0], "b": [0.1, 0.2, 0.3, 0.2, 0.1]}
    threshold = calibrated(scores)
    assert threshold.is_extrapolated
    assert threshold.of("a") >= 9.0


def test_scores_that_never_change_give_no_alarm() -> None:
    threshold = calibrated({"a": [1.0] * 50, "b": [1.0] * 50})
    assert not threshold.of("a") < 1.0
    assert threshold.of("a") == pytest.approx(1.0)


def test_a_service_that_was_not_seen_has_the_usual_threshold() -> None:
    threshold = calibrated({"a": [1.0, 2.0, 3.0], "b": [5.0, 6.0, 7.0]})
    assert threshold.of("new") == pytest.approx((threshold.of("a") + threshold.of("b")) / 2)


def test_without_a_single_score_there_is_no_threshold() -> None:
    calibration = Calibration(window_us=WINDOW_US)
    calibration.add("a", math.nan)
    assert calibration.threshold() is None


def test_an_algorithm_may_bring_its_own_threshold() -> None:
    assert Threshold.fixed(0.5).of("anything") == 0.5


@pytest.mark.parametrize(("alarms", "window_us"), [(0.0, 1), (-1.0, 1), (math.nan, 1), (1.0, 0)])
def test_what_can_not_be_aimed_at_is_refused(alarms: float, window_us: int) -> None:
    with pytest.raises(InvalidInput, match="must be above 0"):
        Calibration(alarms_per_hour=alarms, window_us=window_us)


@given(
    st.dictionaries(
        st.sampled_from(SERVICES), st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20), min_size=1
    ),
    st.randoms(use_true_random=False),
)
def test_the_order_of_the_scores_does_not_matter(scores: dict[str, list[float]], chance: Random) -> None:
    mixed = {service: chance.sample(values, len(values)) for service, values in reversed(scores.items())}
    assert calibrated(scores) == calibrated(mixed)
    assert math.isfinite(calibrated(scores).other)
