"""Policies after the same simulated days: who wins, who can't, and that the days are the same for all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from microservo.domain.geography import SEVEN_REGIONS, Coordinates
from microservo.domain.manager.simulation.day import Day, lived
from microservo.domain.manager.simulation.demand import Origin
from microservo.domain.manager.simulation.judging import (
    HEADLINES,
    PolicyRow,
    PolicyScore,
    compare_policies,
    ranked,
    score_policy,
)
from microservo.domain.manager.simulation.routing import latencies_ms, nearest_flows
from microservo.errors import InvalidInput

EUROPE, ASIA = SEVEN_REGIONS[0].centre, SEVEN_REGIONS[5].centre


@pytest.fixture(scope="module")
def board() -> tuple[PolicyRow, ...]:
    return compare_policies(["rules"])


def test_the_rules_beat_nothing_and_random_on_latency_and_slo_minutes(board: tuple[PolicyRow, ...]) -> None:
    assert (board[0].place, board[0].score.policy, board[0].is_control) == (1, "rules", False)
    rules, *controls = (row.score for row in board)
    assert {each.policy for each in controls} == {"nothing", "random"}
    for each in controls:
        assert rules.latency_p50_ms < 0.8 * each.latency_p50_ms
        assert rules.latency_p99_ms < 0.8 * each.latency_p99_ms
        assert rules.slo_minutes_lost < 0.8 * each.slo_minutes_lost


def test_what_nothing_wins_is_no_headline(board: tuple[PolicyRow, ...]) -> None:
    scores = {row.score.policy: row.score for row in board}
    for name in ("moves_per_h", "changes_per_h", "cost_core_h"):
        assert getattr(scores["nothing"], name) == min(getattr(each, name) for each in scores.values())
        assert name not in HEADLINES
    assert {row.score.slo_minutes for row in board} == {3 * 3 * 24 * 60}


def test_a_day_is_the_same_to_the_last_digit_and_its_demand_the_same_for_all() -> None:
    day = Day(seed=5, hosts=14, services=1)
    assert score_policy("random", [day]) == score_policy("random", [day])
    rates = [[world.demand.rate("s-0") for world in lived(day, policy)] for policy in ("nothing", "random")]
    assert rates[0] == rates[1]
    assert max(rates[0]) > 2 * min(rates[0])


def score(policy: str, p99: float, minutes: int) -> PolicyScore:
    return PolicyScore(
        policy=policy,
        latency_p50_ms=10.0,
        latency_p99_ms=p99,
        slo_minutes_lost=minutes,
        slo_minutes=100,
        lost_percent=0.0,
        moves_per_h=0.0,
        changes_per_h=0.0,
        cost_core_h=1.0,
    )


def test_a_place_has_only_who_is_better_than_each_control_in_each_headline() -> None:
    controls = [score("nothing", 300.0, 50), score("random", 200.0, 60)]
    found = ranked(
        [
            *controls,
            score("fast", 100.0, 50),
            score("kind", 200.0, 10),
            score("good", 150.0, 40),
            score("best", 190.0, 20),
        ]
    )
    assert [(row.place, row.score.policy) for row in found] == [
        (1, "best"),
        (2, "good"),
        (None, "kind"),
        (None, "fast"),
        (None, "nothing"),
        (None, "random"),
    ]
    lucky = replace(controls[1], latency_p99_ms=1.0, slo_minutes_lost=0)
    (first, *_) = ranked([controls[0], lucky, score("good", 150.0, 40)])
    assert (first.place, first.is_control) == (None, True), "a control never has a place"


def test_few_days_and_policies_that_are_not_there_are_refused_before_any_day() -> None:
    with pytest.raises(InvalidInput, match="2 days can't be compared"):
        compare_policies(["rules"], days=2)
    with pytest.raises(InvalidInput, match="there is no policy 'best' here"):
        compare_policies(["best"])
    with pytest.raises(InvalidInput, match="a day of 3 hosts can't be judged"):
        Day(hosts=3)


def test_requests_stay_in_their_region_until_it_is_busy_and_those_beyond_all_capacity_are_lost() -> None:
    places, regions = [EUROPE, EUROPE, ASIA], ["Europe", "Europe", "Asia"]
    flows = nearest_flows([Origin(place=EUROPE, requests_per_s=100.0)], places, regions, [100.0] * 3)
    assert np.bincount(flows.container, flows.requests_per_s, minlength=3).tolist() == [50.0, 50.0, 0.0]
    flows = nearest_flows([Origin(place=EUROPE, requests_per_s=200.0)], places, regions, [100.0] * 3)
    assert np.bincount(flows.container, flows.requests_per_s).round().tolist() == [80.0, 80.0, 40.0]
    flows = nearest_flows([Origin(place=EUROPE, requests_per_s=400.0)], places, regions, [100.0] * 3)
    assert np.bincount(flows.container, flows.requests_per_s).round().tolist() == [95.0, 95.0, 95.0]
    assert flows.lost_per_s == pytest.approx(115.0)


def test_latency_grows_with_distance_and_with_load() -> None:
    def latency(place: Coordinates, rate: float) -> float:
        flows = nearest_flows([Origin(place=EUROPE, requests_per_s=rate)], [place], ["r"], [100.0])
        return float(latencies_ms(flows)[0])

    assert latency(EUROPE, 50.0) == pytest.approx(10.0 + 5.0 / 0.5)
    assert latency(EUROPE, 75.0) == pytest.approx(10.0 + 5.0 / 0.25)
    # 6,828 km of great circle, 1.4 times as much of fibre, there and back at 200 km a millisecond.
    assert latency(ASIA, 50.0) - latency(EUROPE, 50.0) == pytest.approx(2 * 1.4 * 6828 / 200, abs=0.1)
