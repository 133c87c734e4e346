from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from microservo.domain.alarms import AlarmKeeper, Calibration, NoThreshold, Threshold
from microservo.domain.alarms.runs import QUIET_WINDOWS
from microservo.errors import InvalidInput

WINDOW_US = 5_000_000
SERVICES = [f"service-{number}" for number in range(11)]


Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]


def autoregressive(rng: np.random.Generator, count: int, rho: float) -> NDArray[np.float64]:
    """Normal values of which each depends on the one before."""
    values = rng.standard_normal(count)
    for at in range(1, count):
        values[at] = rho * values[at - 1] + math.sqrt(1 - rho * rho) * values[at]
    return values


INDEPENDENT: Mapping[str, Draw] = {
    "normal": lambda rng, count: rng.standard_normal(count),
    "exponential": lambda rng, count: rng.standard_exponential(count),
    "counts": lambda rng, count: rng.poisson(1.0, count).astype(np.float64),
    "mostly zero counts": lambda rng, count: rng.poisson(0.1, count).astype(np.float64),
    "zero-inflated": lambda rng, count: (rng.random(count) < 0.03) * rng.standard_exponential(count),
    "uniform": lambda rng, count: rng.random(count),
    "bounded": lambda rng, count: rng.beta(2, 5, count),
}
DEPENDENT: Mapping[str, Draw] = {
    "each much like the last": lambda rng, count: autoregressive(rng, count, 0.6),
    "each very much like the last": lambda rng, count: autoregressive(rng, count, 0.9),
    "means of three": lambda rng, count: np.convolve(
        rng.standard_exponential(count + 2), np.full(3, 1 / 3), "valid"
    ),
}
HEAVY_TAILED: Mapping[str, Draw] = {
    "Student's t": lambda rng, count: np.abs(rng.standard_t(3, count)),
    "log-normal": lambda rng, count: np.exp(rng.standard_normal(count)),
    "log-normal, each like the last": lambda rng, count: np.exp(autoregressive(rng, count, 0.6)),
}


def found(scores: Mapping[str, Sequence[float]], alarms_per_hour: float = 1.0) -> Threshold | NoThreshold:
    calibration = Calibration(alarms_per_hour=alarms_per_hour, window_us=WINDOW_US)
    for service, values in scores.items():
        for value in values:
            calibration.add(service, value)
    return calibration.threshold()


def calibrated(scores: Mapping[str, Sequence[float]], alarms_per_hour: float = 1.0) -> Threshold:
    threshold = found(scores, alarms_per_hour)
    assert isinstance(threshold, Threshold)
    return threshold


def false_alarms_per_hour(draw: Draw, windows: int, seed: int, hours: int = 10) -> float:
    """Alarms that open at thresholds from so many windows of each service, in the hours after them."""
    rng = np.random.default_rng(seed)
    scores = {service: (draw(rng, windows) * (at + 1)).tolist() for at, service in enumerate(SERVICES)}
    threshold = found(scores)
    if isinstance(threshold, NoThreshold):
        return 0.0
    keeper, opened = AlarmKeeper(), 0
    for at, service in enumerate(SERVICES):
        after, levels = draw(rng, 720 * hours) * (at + 1), threshold.of(service)
        # Of windows that are not above any level, only those that end what is in a row or open say something.
        above = after > min(levels)
        tells = np.convolve(above, np.ones(QUIET_WINDOWS + 1))[: len(after)] > 0
        alarms = [
            keeper.judge(service, number, after[number], levels) for number in np.flatnonzero(tells).tolist()
        ]
        opened += sum(each is not None and each.closed_us is None for each in alarms)
    return opened / hours


@pytest.mark.parametrize(
    ("shape", "windows"),
    [
        *((shape, windows) for shape in INDEPENDENT for windows in (11, 24, 68)),
        *((shape, windows) for shape in DEPENDENT for windows in (24, 68)),
    ],
)
def test_no_more_than_three_times_as_many_false_alarms_come_as_were_asked_for(
    shape: str, windows: int
) -> None:
    draw = {**INDEPENDENT, **DEPENDENT}[shape]
    assert np.mean([false_alarms_per_hour(draw, windows, seed) for seed in range(24)]) <= 3.0


@pytest.mark.xfail(strict=True, reason="5 to 15 an hour: no minutes show how heavy a tail is")
@pytest.mark.parametrize("shape", HEAVY_TAILED)
def test_nor_where_tails_are_heavier_than_exponential(shape: str) -> None:
    rates = [false_alarms_per_hour(HEAVY_TAILED[shape], 68, seed) for seed in range(12)]
    assert np.mean(rates) <= 3.0


@pytest.mark.parametrize("shape", ["exponential", "bounded"])
def test_a_score_that_comes_each_hundredth_time_is_an_alarm_some_times_in_a_row(shape: str) -> None:
    draw = INDEPENDENT[shape]
    rare = float(np.quantile(draw(np.random.default_rng(99), 1_000_000), 0.99))
    found = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        threshold = calibrated({service: draw(rng, 68).tolist() for service in SERVICES})
        found.append(np.median([min(threshold.of(service)) for service in SERVICES]))
    assert np.median(found) < rare


def test_the_same_scores_in_longer_peaks_promise_no_more() -> None:
    rng = np.random.default_rng(7)
    scores = {service: rng.standard_exponential(60) for service in SERVICES}
    once = calibrated({service: values.tolist() for service, values in scores.items()})
    twice = calibrated({service: np.repeat(values, 2).tolist() for service, values in scores.items()})
    assert twice.of(SERVICES[0])[0] == pytest.approx(once.of(SERVICES[0])[0], rel=0.15)
    assert twice.of(SERVICES[0])[1] > 1.5 * once.of(SERVICES[0])[1]


def test_one_odd_service_costs_the_others_little() -> None:
    rng = np.random.default_rng(3)
    scores = {service: rng.standard_normal(60).tolist() for service in SERVICES}
    before = calibrated(scores)
    scores[SERVICES[0]][30] = 40.0
    after = calibrated(scores)
    assert after.of(SERVICES[0])[0] >= 40.0
    assert after.of(SERVICES[1])[0] < 2 * before.of(SERVICES[1])[0]


def test_with_evidence_a_service_has_a_threshold_of_its_own_size() -> None:
    rng = np.random.default_rng(4)
    ratios = []
    for windows in (6, 720):
        scores = {
            service: ((5.0 if at == 0 else 1.0) * rng.standard_exponential(windows)).tolist()
            for at, service in enumerate(SERVICES)
        }
        threshold = calibrated(scores)
        ratios.append(threshold.of(SERVICES[0])[2] / threshold.of(SERVICES[1])[2])
    assert ratios[0] < ratios[1]
    assert ratios[1] == pytest.approx(5, rel=0.25)


def test_the_threshold_is_in_the_size_of_each_services_own_scores() -> None:
    rng = np.random.default_rng(1)
    small, large = rng.standard_normal(200), 1000 + 100 * rng.standard_normal(200)
    threshold = calibrated({"small": small.tolist(), "large": large.tolist()})
    assert all(1 < level < 20 for level in threshold.of("small")[:3])
    assert all(1100 < level < 3000 for level in threshold.of("large")[:3])


def test_no_score_that_was_seen_without_a_fault_is_above_where_few_were_seen() -> None:
    scores = {"a": [0.0, 0.1, 0.2, 0.1, 9.0], "b": [0.1, 0.2, 0.3, 0.2, 0.1]}
    threshold = calibrated(scores)
    assert threshold.of("a")[0] >= 9.0


@pytest.mark.parametrize(("minutes", "promised"), [(2, 30), (30, 2)])
def test_it_is_said_how_many_false_alarms_so_little_fault_free_time_can_promise(
    minutes: int, promised: int
) -> None:
    rng = np.random.default_rng(8)
    threshold = calibrated({service: rng.standard_exponential(12 * minutes).tolist() for service in SERVICES})
    assert f"can promise no fewer than {promised} false alarms an hour" in threshold.warning()


def test_nothing_is_said_where_the_scores_show_what_was_asked_for() -> None:
    rng = np.random.default_rng(9)
    threshold = calibrated({service: rng.standard_exponential(80).tolist() for service in SERVICES}, 12.0)
    assert threshold.warning() == ""


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
    usual = threshold.of(SERVICES[1])[0]
    assert usual / 3 < threshold.of(SERVICES[0])[0] < 3 * usual


@pytest.mark.parametrize("windows", [36, 68, 120])
def test_scores_that_are_zero_but_for_a_few_have_a_threshold_above_zero(windows: int) -> None:
    rng = np.random.default_rng(6)
    scores = {
        service: np.where(rng.random(windows) < 0.97, 0.0, rng.standard_exponential(windows)).tolist()
        for service in SERVICES
    }
    threshold = calibrated(scores)
    assert all(min(threshold.of(service)) >= 0 for service in SERVICES)
    assert all(1.0 < threshold.of(service)[0] < 40.0 for service in SERVICES)


def test_a_service_that_was_not_seen_has_the_usual_threshold() -> None:
    threshold = calibrated({"a": [1.0, 2.0, 3.0], "b": [5.0, 6.0, 7.0]})
    assert threshold.of("new")[0] == pytest.approx((threshold.of("a")[0] + threshold.of("b")[0]) / 2)


def test_without_a_single_score_there_is_no_threshold() -> None:
    none = found({"a": [math.nan]})
    assert isinstance(none, NoThreshold)
    assert "only 0 scores of at least 1 in fault-free time" in none.reason


def test_an_algorithm_may_bring_its_own_threshold() -> None:
    assert Threshold.fixed(0.5).of("anything") == (0.5,)


@pytest.mark.parametrize(("alarms", "window_us"), [(0.0, 1), (-1.0, 1), (math.nan, 1), (1.0, 0)])
def test_what_can_not_be_aimed_at_is_refused(alarms: float, window_us: int) -> None:
    with pytest.raises(InvalidInput, match="must be above 0"):
        Calibration(alarms_per_hour=alarms, window_us=window_us)


@given(
    st.dictionaries(
        st.sampled_from(SERVICES), st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20), min_size=1
    )
)
@example({"a": [0.5], "b": [5e-324, -1e6, 0.0], "c": [-1e-313, 5e-324, 2.2e-313]})
@example({"service-0": [0.0, 1.0, 2.2250738585e-313]})
@example({"service-0": [0.0] * 40 + [5e-324] * 39 + [1e6], "service-1": [1.0, 2.0]})
def test_the_order_in_which_services_came_does_not_matter(scores: dict[str, list[float]]) -> None:
    one = found(scores)
    assert one == found(dict(reversed(scores.items())))
    assert isinstance(one, NoThreshold) or all(map(math.isfinite, one.other))
