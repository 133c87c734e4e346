"""What the shipped algorithms say of windows and cases whose answer is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import pytest

from microservo.algorithms.fenced.objects import seed_of
from microservo.algorithms.shipped.controls import Constant
from microservo.algorithms.shipped.log_surprise import LogSurprise
from microservo.algorithms.shipped.n_sigma import NSigma
from microservo.algorithms.shipped.rankers import most_deviating, multi_signal, random_ranker, random_walk
from microservo.algorithms.shipped.robust_z import RobustZ
from microservo.algorithms.shipped.standardised import Standardised
from microservo.algorithms.shipped.trace_deviation import TraceDeviation

Window = Mapping[str, float]


class _Detector(Protocol):
    def score_one(self, x: Window) -> float: ...

    def learn_one(self, x: Window) -> None: ...


def scored(detector: _Detector, windows: list[dict[str, float]]) -> list[float]:
    scores = []
    for x in windows:
        scores.append(detector.score_one(x))
        detector.learn_one(x)
    return scores


def test_a_constant_differs_between_services_and_not_between_windows() -> None:
    one, other = Constant(seed=seed_of(1, "cart")), Constant(seed=seed_of(1, "payment"))
    assert one.score_one({"a": 1.0}) == one.score_one({"a": 2.0}) != other.score_one({"a": 1.0})
    assert Constant(1.0, seed=5).score_one({}) == 1.0


def test_a_lasting_fault_does_not_become_normal_at_once_for_robust_z() -> None:
    windows = [{"cpu": 1.0 + 0.1 * (at % 3)} for at in range(60)] + [{"cpu": 9.0}] * 13
    assert min(scored(RobustZ(), windows)[60:]) > 5
    assert scored(NSigma(), windows)[72] < 4


def test_a_fault_is_not_compared_with_its_own_first_windows_by_n_sigma() -> None:
    windows = [{"cpu": 1.0 + 0.1 * (at % 3)} for at in range(80)] + [{"cpu": 9.0}] * 7
    odd = scored(NSigma(), windows)[80:]
    assert max(odd) - min(odd) < 0.5
    assert min(odd) > 8


@pytest.mark.parametrize("kind", [NSigma, RobustZ])
def test_ten_times_as_slow_is_as_far_for_each_duration_however_many_statistics_show_it(
    kind: Callable[..., _Detector],
) -> None:
    def window(size: float, at: int) -> dict[str, float]:
        slow = size * (1 + 0.1 * (at % 3))
        return {f"request/*/{name}_ms": slow for name in ("p50", "p90", "p99")} | {"metric/cpu/mean": 0.5}

    found = []
    for size in (20.0, 2000.0):
        detector = kind()
        scored(detector, [window(size, at) for at in range(40)])
        found.append(detector.score_one(window(10 * size, 0)))
    assert found[0] > 5
    assert found[0] == pytest.approx(found[1], rel=0.1)


def test_a_step_gives_each_feature_as_its_distance_from_its_past_with_its_sign() -> None:
    step = Standardised()
    rows = [[10.0 + at % 3, 0.0, 5.0] for at in range(40)]
    for row in rows:
        step.fit_partial(row)
    high, usual, low = step.transform_partial([100.0, 0.0, 1.0])
    assert high > 5
    assert usual == 0.0
    assert low < -5
    assert step.transform_one({0: 100.0, 3: 7.0}) == {0: high, 3: 0.0}
    again = Standardised().fit(np.array(rows))
    assert again.transform(np.array([[100.0, 0.0, 1.0]])).tolist() == [[high, usual, low]]


def test_a_new_template_surprises_and_so_does_one_that_stays_away() -> None:
    usual = [
        {"log/template/served <*>": 20.0 + at % 3, "log/severity/info": 20.0 + at % 3} for at in range(40)
    ]
    detector = LogSurprise()
    normal = scored(detector, usual)
    assert all(math.isnan(score) for score in normal[:12])
    assert max(normal[20:]) < 2
    assert detector.score_one({**usual[0], "log/template/can't connect": 6.0}) > 4
    assert detector.score_one({}) > 4
    error = detector.score_one({**usual[0], "log/severity/error": 3.0})
    assert error > detector.score_one({**usual[0], "log/severity/warn": 3.0})


def test_latencies_count_by_their_ratio_and_failures_by_their_number() -> None:
    def window(p90_ms: float, error_share: float = 0.0, count: float = 50.0) -> dict[str, float]:
        return {
            "request/*/p90_ms": p90_ms,
            "request/*/error_share": error_share,
            "request/*/count": count,
        }

    for size in (0.1, 1000.0):
        detector = TraceDeviation()
        normal = scored(detector, [window(size * (1 + 0.02 * (at % 5))) for at in range(60)])
        assert max(normal[20:]) < 2
        assert detector.score_one(window(3 * size)) > 8
        assert detector.score_one(window(size / 3)) == 0.0
        assert detector.score_one(window(size, error_share=0.4)) > 8
        assert detector.score_one(window(size, error_share=1.0, count=1.0)) < 2
    assert math.isnan(detector.score_one({"request/*/p90_ms": math.nan}))


@pytest.mark.parametrize(("count", "is_odd"), [(50.0, True), (0.3, False)], ids=["busy", "hardly asked"])
def test_a_service_that_falls_silent_has_failed_in_all_that_it_usually_answers(
    count: float, *, is_odd: bool
) -> None:
    usual = {
        "request/*/p90_ms": 10.0,
        "request/*/error_share": 0.0,
        "request/*/count": count,
        "telemetry/silent": 0.0,
    }
    silent = {
        "request/*/p90_ms": math.nan,
        "request/*/error_share": math.nan,
        "request/*/count": 0.0,
        "telemetry/silent": 1.0,
    }
    detector = TraceDeviation()
    assert math.isnan(detector.score_one(silent))
    scored(detector, [usual] * 40)
    assert (detector.score_one(silent) > 8) == is_odd
    # Nobody asked: that it was not asked is no failure of its own.
    assert math.isnan(detector.score_one({**silent, "telemetry/silent": 0.0}))


@pytest.mark.parametrize("kind", [NSigma, RobustZ, LogSurprise, TraceDeviation])
def test_parameters_that_can_not_be_are_refused(kind: Callable[..., object]) -> None:
    with pytest.raises(ValueError, match="all must be above 0"):
        kind(memory_windows=0)


GRAPH = (("frontend", "checkout"), ("checkout", "payment"), ("frontend", "cart"))
QUIET = {"metric/cpu/mean": 0.5, "log/severity/error": 0.0, "request/*/p90_ms": 0.5}


def first(ranker: Callable[..., Mapping[str, Any]], changed: Mapping[str, Window]) -> str:
    deviations = {
        service: {**QUIET, **changed.get(service, {})}
        for service in ("cart", "checkout", "frontend", "payment")
    }
    options: dict[str, Any] = {"graph": GRAPH} if ranker is not most_deviating else {}
    if ranker is multi_signal:
        options["peaks"] = {}
    ranks: list[str] = ranker(None, 0.0, None, deviations=deviations, **options)["ranks"]
    assert sorted(ranks) == sorted(deviations)
    return ranks[0]


SLOW_CALLEE = {
    "payment": {"request/*/p90_ms": 30.0},
    "checkout": {"request/*/p90_ms": 31.0, "call/payment/p90_ms": 30.0, "log/severity/error": 4.0},
    "frontend": {"request/*/p90_ms": 33.0, "call/checkout/p90_ms": 31.0},
}
KILLED = {
    "payment": {"request/*/count": -1.0, "metric/service.downtime/mean": 40.0},
    "checkout": {"request/*/error_share": 40.0, "call/payment/error_share": 45.0},
    "frontend": {"request/*/error_share": 40.0, "call/checkout/error_share": 40.0},
}
BUSY_HOST = {"cart": {"metric/cpu/mean": 40.0, "metric/cpu/max": 45.0, "request/*/p90_ms": 6.0}}
LOGS_ALONE = {"cart": {"log/severity/error": 30.0, "log/template/can't <*>": 30.0}}


@pytest.mark.parametrize(
    ("changed", "cause"),
    [(SLOW_CALLEE, "payment"), (KILLED, "payment"), (BUSY_HOST, "cart"), (LOGS_ALONE, "cart")],
    ids=["slow callee", "killed callee", "busy", "logs alone"],
)
def test_several_signals_together_find_the_cause(changed: Mapping[str, Window], cause: str) -> None:
    assert first(multi_signal, changed) == cause


def test_a_peak_that_is_over_by_now_finds_the_cause_where_nothing_else_moved() -> None:
    deviations = {service: QUIET for service in ("cart", "checkout", "payment")}
    peaks = {
        "cart": {"metric/cpu/max": 2.0, "metric/cpu/slope": 90.0, "log/severity/error": 99.0},
        "payment": {"metric/cpu/max": 30.0},
    }
    found = multi_signal(None, 0.0, deviations=deviations, peaks=peaks, graph=GRAPH)
    assert found["ranks"][0] == "payment"


def test_who_deviates_most_may_be_a_victim() -> None:
    assert first(most_deviating, SLOW_CALLEE) == "checkout"
    assert first(most_deviating, BUSY_HOST) == "cart"
    assert first(random_walk, SLOW_CALLEE) == "payment"
    assert first(random_walk, BUSY_HOST) == "cart"


def test_random_ranks_are_another_order_for_each_alarm_and_seed_and_the_same_again() -> None:
    services = [f"service-{number}" for number in range(12)]

    def ranks(alarm_s: float, seed: int) -> list[str]:
        return list(random_ranker(None, alarm_s, services=services, seed=seed)["ranks"])

    assert sorted(ranks(1.0, 1)) == sorted(services)
    assert ranks(1.0, 1) == ranks(1.0, 1)
    assert ranks(1.0, 1) != ranks(2.0, 1)
    assert ranks(1.0, 1) != ranks(1.0, 2)


def test_a_quantity_counts_once_however_many_statistics_of_it_move() -> None:
    loud = {
        f"metric/network.requests.active/{statistic}": 12.0 for statistic in ("min", "mean", "max", "last")
    }
    several = {"metric/network.requests.active/max": 9.0, "request/*/p90_ms": 9.0}
    assert first(multi_signal, {"cart": loud, "payment": several}) == "payment"


def test_a_caller_that_is_odd_by_itself_is_the_cause_beside_a_callee_that_is_a_little_odd() -> None:
    changed = {
        "checkout": {"metric/process.cpu/mean": 40.0, "request/*/p90_ms": 30.0},
        "payment": {"request/*/p90_ms": 3.0},
    }
    assert first(multi_signal, changed) == "checkout"


def test_a_request_that_fails_now_and_then_is_less_odd_to_robust_z_each_time() -> None:
    windows = [{"request/*/error_share": 0.1 if at >= 80 and at % 20 == 19 else 0.0} for at in range(400)]
    first, *others = scored(RobustZ(), windows)[99::20]
    assert first > 7
    assert others == sorted(others, reverse=True)
    assert others[-1] < 5


@pytest.mark.parametrize("kind", [NSigma, RobustZ])
def test_what_is_odd_to_a_short_past_counts_no_more_than_what_came_once_in_it(
    kind: Callable[..., _Detector],
) -> None:
    first, later = (
        scored(kind(), [{"errors": 0.0}] * windows + [{"errors": 5.0}])[-1] for windows in (15, 90)
    )
    assert first == pytest.approx(math.sqrt(15 - 6))
    assert later == pytest.approx(math.sqrt(60))
