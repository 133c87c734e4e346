from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from random import Random

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from microservo.domain.alarms import Calibration, NoThreshold, Threshold
from microservo.errors import InvalidInput

WINDOW_US = 5_000_000
SERVICES = [f"service-{number}" for number in range(11)]


Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]

SHAPES: Mapping[str, Draw] = {
    "normal": lambda rng, count: rng.standard_normal(count),
    "exponential": lambda rng, count: rng.standard_exponential(count),
    "heavy-tailed": lambda rng, count: np.abs(rng.standard_t(3, count)),
    "log-normal": lambda rng, count: np.exp(rng.standard_normal(count)),
    "counts": lambda rng, count: rng.poisson(1.0, count).astype(np.float64),
    "mostly zero counts": lambda rng, count: rng.poisson(0.1, count).astype(np.float64),
    "uniform": lambda rng, count: rng.random(count),
    "bounded": lambda rng, count: rng.beta(2, 5, count),
}


def learned(scores: Mapping[str, Sequence[float]], alarms_per_hour: float = 1.0) -> Calibration:
    calibration = Calibration(alarms_per_hour=alarms_per_hour, window_us=WINDOW_US)
    for service, values in scores.items():
        for value in values:
            calibration.add(service, value)
    return calibration


def found(scores: Mapping[str, Sequence[float]], alarms_per_hour: float = 1.0) -> Threshold | NoThreshold:
    return learned(scores, alarms_per_hour).threshold()


def warned(scores: Mapping[str, Sequence[float]], alarms_per_hour: float = 1.0) -> str:
    calibration = learned(scores, alarms_per_hour)
    threshold = calibration.threshold()
    assert isinstance(threshold, Threshold)
    return calibration.warning(threshold)


def calibrated(scores: Mapping[str, Sequence[float]], alarms_per_hour: float = 1.0) -> Threshold:
    threshold = found(scores, alarms_per_hour)
    assert isinstance(threshold, Threshold)
    return threshold


def false_alarms_per_hour(draw: Draw, windows: int, seed: int, hours: int = 10) -> float:
    """Windows above a threshold from so many windows of each service, in the hours after them."""
    rng = np.random.default_rng(seed)
    scores = {service: (draw(rng, windows) * (at + 1)).tolist() for at, service in enumerate(SERVICES)}
    threshold = calibrated(scores)
    above = [
        (draw(rng, 720 * hours) * (at + 1) > threshold.of(service)).sum()
        for at, service in enumerate(SERVICES)
    ]
    return float(sum(above)) / hours


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("windows", "factor"), [(36, 15.0), (68, 10.0), (120, 6.0), (720, 6.0)])
def test_about_as_many_false_alarms_come_as_were_asked_for(shape: str, windows: int, factor: float) -> None:
    rates = [false_alarms_per_hour(SHAPES[shape], windows, seed) for seed in range(12)]
    assert np.mean(rates) < factor


@pytest.mark.parametrize(
    "shape", ["normal", "exponential", "heavy-tailed", "log-normal", "counts", "bounded"]
)
@pytest.mark.parametrize("windows", [36, 120])
def test_the_threshold_is_no_further_than_a_rare_score(shape: str, windows: int) -> None:
    draw = SHAPES[shape]
    far = float(np.quantile(draw(np.random.default_rng(99), 3_000_000), 1 - 1e-6))
    center = float(np.median(draw(np.random.default_rng(98), 100_000)))
    for seed in range(20):
        rng = np.random.default_rng(seed)
        threshold = calibrated({service: draw(rng, windows).tolist() for service in SERVICES})
        usual = float(np.median([threshold.of(service) for service in SERVICES]))
        # A window in 1,400 hours of one service reaches `far`; twice as far is what obvious faults reach.
        assert usual - center < 2 * (far - center)


def test_one_odd_service_costs_the_others_little() -> None:
    rng = np.random.default_rng(3)
    scores = {service: rng.standard_normal(60).tolist() for service in SERVICES}
    before = calibrated(scores)
    scores[SERVICES[0]][30] = 40.0
    after = calibrated(scores)
    assert after.of(SERVICES[0]) >= 40.0
    assert after.of(SERVICES[1]) < 2 * before.of(SERVICES[1])


def test_with_evidence_a_service_has_a_threshold_of_its_own_size() -> None:
    rng = np.random.default_rng(4)
    ratios = []
    for windows in (6, 720):
        scores = {
            service: ((5.0 if at == 0 else 1.0) * rng.standard_exponential(windows)).tolist()
            for at, service in enumerate(SERVICES)
        }
        threshold = calibrated(scores)
        ratios.append(threshold.of(SERVICES[0]) / threshold.of(SERVICES[1]))
    assert ratios[0] < ratios[1]
    assert ratios[1] == pytest.approx(5, rel=0.25)


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


@pytest.mark.parametrize(("minutes", "promised"), [(2, 30), (30, 2)])
def test_it_is_said_how_many_false_alarms_so_little_fault_free_time_can_promise(
    minutes: int, promised: int
) -> None:
    rng = np.random.default_rng(8)
    scores = {service: rng.standard_exponential(12 * minutes).tolist() for service in SERVICES}
    assert f"can promise no fewer than {promised} false alarms an hour" in warned(scores)


@pytest.mark.parametrize("alarms_per_hour", [12.0, 100.0])
def test_nothing_is_said_where_the_scores_show_what_was_asked_for(alarms_per_hour: float) -> None:
    rng = np.random.default_rng(9)
    scores = {service: rng.standard_exponential(80).tolist() for service in SERVICES}
    assert warned(scores, alarms_per_hour) == ""


def test_nothing_is_said_of_a_threshold_that_an_algorithm_brings() -> None:
    assert Calibration(window_us=WINDOW_US).warning(Threshold.fixed(0.5)) == ""


@pytest.mark.parametrize("other", [1.0, 0.25])
def test_scores_that_never_change_give_no_threshold_and_it_is_said_why(other: float) -> None:
    none = found({"a": [1.0] * 50, "b": [other] * 50, "c": [0.1 + 0.2, 0.3] * 25})
    assert isinstance(none, NoThreshold)
    assert "none of 150 scores in fault-free time is above the median of its service" in none.reason
    assert "give --threshold" in none.reason


def test_a_service_whose_scores_never_changed_has_a_threshold_in_the_size_of_the_others() -> None:
    rng = np.random.default_rng(5)
    others = {service: rng.standard_exponential(60).tolist() for service in SERVICES[1:]}
    threshold = calibrated({SERVICES[0]: [0.0] * 60, **others})
    usual = threshold.of(SERVICES[1])
    assert usual / 3 < threshold.of(SERVICES[0]) < 3 * usual


@pytest.mark.parametrize("windows", [36, 68, 120])
def test_scores_that_are_zero_but_for_a_few_have_a_threshold_above_zero(windows: int) -> None:
    rng = np.random.default_rng(6)
    scores = {
        service: np.where(rng.random(windows) < 0.97, 0.0, rng.standard_exponential(windows)).tolist()
        for service in SERVICES
    }
    threshold = calibrated(scores)
    assert all(1.0 < threshold.of(service) < 20.0 for service in SERVICES)


def test_a_service_that_was_not_seen_has_the_usual_threshold() -> None:
    threshold = calibrated({"a": [1.0, 2.0, 3.0], "b": [5.0, 6.0, 7.0]})
    assert threshold.of("new") == pytest.approx((threshold.of("a") + threshold.of("b")) / 2)


def test_without_a_single_score_there_is_no_threshold() -> None:
    none = found({"a": [math.nan]})
    assert isinstance(none, NoThreshold)
    assert "only 0 scores of at least 1 in fault-free time" in none.reason


def test_an_algorithm_may_bring_its_own_threshold() -> None:
    assert Threshold.fixed(0.5).of("anything") == 0.5


@pytest.mark.parametrize(("alarms", "window_us"), [(0.0, 1), (-1.0, 1), (math.nan, 1), (1.0, 0)])
def test_what_can_not_be_aimed_at_is_refused(alarms: float, window_us: int) -> None:
    with pytest.raises(InvalidInput, match="must be above 0"):
        Calibration(alarms_per_hour=alarms, window_us=window_us)


@example({"a": [0.5], "b": [5e-324, -1e6, 0.0], "c": [-1e-313, 5e-324, 2.2e-313]}, Random(1))
@example({"service-0": [0.0, 1.0, 2.2250738585e-313]}, Random(1))
@example({"service-0": [0.0] * 40 + [5e-324] * 39 + [1e6], "service-1": [1.0, 2.0]}, Random(1))
@given(
    st.dictionaries(
        st.sampled_from(SERVICES), st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20), min_size=1
    ),
    st.randoms(use_true_random=False),
)
def test_the_order_of_the_scores_does_not_matter(scores: dict[str, list[float]], chance: Random) -> None:
    mixed = {service: chance.sample(values, len(values)) for service, values in reversed(scores.items())}
    one = found(scores)
    assert one == found(mixed)
    assert isinstance(one, NoThreshold) or math.isfinite(one.other)
