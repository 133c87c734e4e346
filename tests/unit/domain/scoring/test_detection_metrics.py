"""Metrics of detectors on windows that can be counted by hand."""

from __future__ import annotations

from dataclasses import replace
from math import inf, isnan, nan

import numpy as np
import pytest
from scoring_reference import toy
from scoring_runs import WINDOW_US, alarms_of, incident_of, run_of, scored, series_of

from microservo.domain.scoring import Alarm, Incident, Series, evaluate_detector
from microservo.domain.scoring.bootstrap import fault_weights, intervals
from microservo.domain.scoring.budget import budget_curve, thresholds
from microservo.domain.scoring.curves import curve_metrics
from microservo.domain.scoring.delay import delay_replicates
from microservo.domain.scoring.detection import Detection, detection_of
from microservo.domain.scoring.events import event_replicates
from microservo.domain.scoring.nab import PROFILES, best_nab, nab_metrics
from microservo.domain.scoring.point_adjusted import adjusted_f1, point_adjusted_metrics
from microservo.domain.scoring.ratios import quantile
from microservo.domain.scoring.resampled_volume import volume_replicates
from microservo.domain.scoring.resampled_windows import window_replicates
from microservo.domain.scoring.series import judged
from microservo.domain.scoring.volume import volumes
from microservo.errors import InvalidInput

HOUR = 720
"""Windows of five seconds."""


def toy_series() -> Series:
    case = toy()
    return series_of("cart", case.score, case.truth, [bool(each) for each in case.flagged])


def at_once(series: Series) -> list[Alarm]:
    """Alarms that are known the moment their first window begins."""
    return [replace(each, known_us=each.start_us) for each in alarms_of([series])]


def toy_incidents() -> list[Incident]:
    found = [incident_of("cart", 20, 30), incident_of("cart", 60, 70)]
    return [replace(each, applied_us=each.start_us, effect_us=each.start_us + 1_000_000) for each in found]


def test_the_toy_gives_the_published_values() -> None:
    found = evaluate_detector([toy_series()], toy_incidents(), at_once(toy_series()), cost="batch").values
    expected = {
        "point_precision": 4 / 7,
        "point_recall": 0.2,
        "point_f1": 0.296296,
        "event_recall": 1.0,
        "event_precision": 2 / 3,
        "event_f1": 0.8,
        "composite_f1": 0.727273,
        "missed_share": 0.0,
        "delay_from_apply_p50_s": 32.5,
        "delay_from_apply_penalised_s": 32.5,
        "delay_from_effect_p50_s": 31.5,
        "range_precision": 0.5,
        "range_recall": 0.36,
        "range_f1": 0.418605,
        "early_range_recall": 0.287273,
        "affiliation_precision": 0.83064,
        "affiliation_recall": 0.90404,
        "affiliation_f1": 0.865787,
        "pa_f1": 0.930233,
        "pa_20_f1": 0.296296,
        "coverage": 1.0,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    windows = judged([toy_series()])
    both = volumes(windows.score, windows.is_anomalous, windows.bounds, buffer=20)
    assert (both.pr, both.roc) == pytest.approx((0.444346, 0.683693), abs=1e-6)
    assert adjusted_f1(windows, 10) == pytest.approx(0.930233, abs=1e-6)


def test_affiliation_integrates_the_chance_of_being_nearer() -> None:
    truth = [0, 0, 0, 0, 0, 0, 1, 1, 0, 0]
    said = [False, False, False, False, True, True, False, False, False, True]
    found = evaluate_detector([series_of("cart", [0.0] * 10, truth, said)], cost="batch").values
    near = [found["affiliation_precision"], found["affiliation_recall"]]
    # Over [4, 6) and [9, 10): 1.2 and 0.5. Over [6, 8): 1.275 near the one alarm, 0.375 near the other.
    assert near == pytest.approx([(1.2 + 0.5) / 3, (1.275 + 0.375) / 2])


def quiet(hours: int, flagged: list[int], truth: dict[int, int] | None = None) -> Series:
    series = series_of("cart", [0.0] * (HOUR * hours), [0] * (HOUR * hours), [False] * (HOUR * hours))
    series.flagged[flagged] = True
    for place, value in (truth or {}).items():
        series.truth[place] = value
    return series


@pytest.mark.parametrize(
    ("flagged", "expected"),
    [
        ([], 0.0),
        ([5], 0.5),
        ([5, 7, 20], 0.5),
        ([59, 60], 1.0),
        (list(range(2 * HOUR)), 12.0),
    ],
    ids=["none", "one", "three in five minutes", "over the edge of five minutes", "an endless one"],
)
def test_false_alarms_are_counted_by_five_minutes(flagged: list[int], expected: float) -> None:
    found = evaluate_detector([quiet(2, flagged)])
    assert found.values["false_alarms_per_hour"] == expected


def test_an_alarm_that_outlasts_a_fault_by_two_windows_is_no_false_one() -> None:
    truth = dict.fromkeys(range(100, 106), 1)
    in_time = evaluate_detector([quiet(1, list(range(102, 108)), truth)]).values
    assert in_time["false_alarms_per_hour"] == 0
    late = evaluate_detector([quiet(1, list(range(102, 109)), truth)]).values
    assert late["false_alarms_per_hour"] == pytest.approx(HOUR / (HOUR - 8))


def test_masked_time_is_not_fault_free() -> None:
    found = evaluate_detector([quiet(1, [5], dict.fromkeys(range(360, HOUR), -1))]).values
    assert found["false_alarms_per_hour"] == 2


def test_hours_of_all_services_are_added_up() -> None:
    one, other = quiet(1, [5]), replace(quiet(1, []), service="mail")
    found = evaluate_detector([one, other])
    assert found.values["false_alarms_per_hour"] == 0.5
    assert found.services["cart"]["false_alarms_per_hour"] == 1


def delays(known_s: list[float | None]) -> dict[str, float]:
    """Incidents at windows 10, 20, ... of five windows each, found in their second window, or missed."""
    size = 10 * len(known_s) + 10
    truth, said = [0] * size, [False] * size
    incidents, alarms = [], []
    for number, known in enumerate(known_s):
        first = 10 * number + 10
        truth[first : first + 5] = [1] * 5
        incidents.append(incident_of("cart", first, first + 5))
        if known is not None:
            said[first + 1] = True
            start_us = (first + 1) * WINDOW_US
            known_us = first * WINDOW_US + int(known * 1e6)
            alarms.append(
                Alarm(service="cart", start_us=start_us, end_us=start_us + WINDOW_US, known_us=known_us)
            )
    return dict(evaluate_detector([series_of("cart", [0.0] * size, truth, said)], incidents, alarms).values)


def test_a_delay_lasts_until_the_alarm_was_known_and_a_missed_incident_has_taken_all_its_time() -> None:
    found = delays([11.0, 12.0, 16.0, None])
    # In force two seconds before the first window, seen one second after its start, over after 25 s.
    assert found["delay_from_apply_p50_s"] == 14
    assert found["delay_from_effect_p50_s"] == 11
    assert found["delay_from_apply_p95_s"] == pytest.approx(17.6)
    assert found["missed_share"] == 0.25
    assert found["delay_from_apply_penalised_s"] == (13 + 14 + 18 + 27) / 4
    assert found["delay_from_effect_penalised_s"] == (10 + 11 + 15 + 24) / 4


def test_delays_are_not_defined_where_nothing_was_found() -> None:
    found = delays([None, None])
    assert isnan(found["delay_from_apply_p50_s"])
    assert found["missed_share"] == 1
    assert found["delay_from_apply_penalised_s"] == 27


def test_an_alarm_that_was_open_before_has_no_delay() -> None:
    series = series_of("cart", [1.0] * 30, [0] * 10 + [1] * 5 + [0] * 15)
    found = evaluate_detector([series], [incident_of("cart", 10, 15)], alarms_of([series])).values
    assert found["delay_from_apply_p50_s"] == 0
    assert found["event_recall"] == 1


def test_without_a_record_of_the_alarm_the_window_s_end_is_when_it_was_known() -> None:
    series = series_of("cart", [0.0] * 11 + [1.0] + [0.0] * 18, [0] * 10 + [1] * 5 + [0] * 15)
    found = evaluate_detector([series], [incident_of("cart", 10, 15)]).values
    assert found["delay_from_apply_p50_s"] == 12


def test_precision_at_a_prevalence_follows_from_the_shares_that_are_flagged() -> None:
    truth = [1] * 10 + [0] * 1000
    said = [True] * 8 + [False] * 2 + [True] * 10 + [False] * 990
    found = evaluate_detector([series_of("cart", [0.0] * 1010, truth, said)]).values
    assert found["precision_at_1_percent"] == pytest.approx(0.01 * 0.8 / (0.01 * 0.8 + 0.99 * 0.01))
    assert found["precision_at_0_1_percent"] == pytest.approx(0.0008 / (0.0008 + 0.00999))
    always = evaluate_detector([series_of("cart", [1.0] * 1010, truth)]).values
    assert always["precision_at_1_percent"] == pytest.approx(0.01)


def test_a_constant_for_each_service_has_no_lift_over_itself() -> None:
    often = series_of("a", [0.4] * 100, [1] * 40 + [0] * 60)
    seldom = series_of("b", [0.1] * 100, [1] * 10 + [0] * 90)
    found = evaluate_detector([often, seldom]).values
    # 40 windows at precision 0.4, and 10 more at 0.25.
    assert found["auc_pr"] == pytest.approx((40 * 0.4 + 10 * 0.25) / 50)
    assert found["lift_over_constant"] == pytest.approx(1)
    assert found["lift_over_random"] == pytest.approx(0.37 / 0.25)
    perfect = [
        series_of(name, each.truth.tolist(), each.truth.tolist())
        for name, each in (("a", often), ("b", seldom))
    ]
    assert evaluate_detector(perfect).values["lift_over_constant"] == pytest.approx(1 / 0.37)


def budgeted() -> Detection:
    """Two hours; the fault-free five minutes reach 0.9, 0.8 and 0.7, incidents 0.95, 0.85, 0.75 and 0.5."""
    score, truth = [0.0] * (2 * HOUR + 40), [0] * (2 * HOUR + 40)
    score[5], score[65], score[66], score[125] = 0.9, 0.8, 0.8, 0.7
    incidents = []
    for number, high in enumerate([0.95, 0.85, 0.75, 0.5]):
        first = 300 + 20 * number
        truth[first : first + 4] = [1] * 4
        score[first + 2] = high
        incidents.append(incident_of("cart", first, first + 4))
    return detection_of([series_of("cart", score, truth)], incidents)


def test_the_threshold_is_as_low_as_the_budget_of_false_alarms_allows() -> None:
    judged_ = budgeted()
    assert thresholds(judged_, 1.0).tolist() == [0.7]
    assert thresholds(judged_, 0.1).tolist() == [0.9]
    curve = {each.per_hour: each for each in budget_curve(judged_)}
    assert curve[0.1].event_recall == 0.25
    assert curve[0.5].event_recall == 0.5
    assert curve[1.0].event_recall == 0.75
    # In force two seconds before; the third window ends after 15 s.
    assert curve[1.0].delay_p50_s == 17


def test_nobody_is_found_within_a_budget_by_one_score_for_all() -> None:
    series = series_of("cart", [1.0] * 60, [0] * 40 + [1] * 20)
    found = evaluate_detector([series], [incident_of("cart", 40, 60)]).values
    assert found["event_recall"] == 1
    assert found["event_recall_at_1_per_hour"] == 0


def test_alarms_by_chance_have_a_high_point_adjusted_f1_and_it_stands_beside_it() -> None:
    chance = np.random.default_rng(5)
    truth = ([0] * 50 + [1] * 150) * 40
    said = chance.random(len(truth)) < 0.05
    windows = judged([series_of("cart", [0.0] * len(truth), truth, said.tolist())])
    found = point_adjusted_metrics(windows)
    assert found["pa_f1"] > 0.98
    assert found["random_pa_f1"] == pytest.approx(found["pa_f1"], abs=0.01)
    assert found["random_pa_20_f1"] == pytest.approx(found["pa_20_f1"], abs=0.02)
    assert found["pa_20_f1"] < 0.12


def test_nab_gives_100_to_the_first_window_of_every_stretch_and_0_to_silence() -> None:
    truth = ([0] * 80 + [1] * 20) * 5
    perfect = [before == 0 and now == 1 for before, now in zip([0, *truth], truth, strict=False)]
    series = series_of("cart", [float(each) for each in perfect], truth)
    assert list(nab_metrics(judged([series])).values()) == pytest.approx([100.0] * 3)
    never = series_of("cart", [0.0] * 500, truth)
    assert list(nab_metrics(judged([never])).values()) == [0.0] * 3
    always = series_of("cart", [1.0] * 500, truth)
    # 345 normal windows after probation, those behind a stretch a little cheaper.
    assert nab_metrics(judged([always]))["nab_standard"] < -200
    assert best_nab(judged([always]), PROFILES["standard"]).score == 0


def test_nab_is_worked_out_where_a_stretch_is_one_window_long() -> None:
    truth = [0] * 50 + [1] + [0] * 49
    found = nab_metrics(judged([series_of("cart", [float(each) for each in truth], truth)]))
    assert found["nab_standard"] == pytest.approx(100)


def test_services_do_not_touch_one_another() -> None:
    first = series_of("a", [0.0] * 30 + [1.0] * 10, [0] * 30 + [1] * 10)
    second = series_of("b", [0.0] * 40, [1] * 10 + [0] * 30)
    windows = judged([first, second])
    assert windows.runs(windows.is_anomalous).first.tolist() == [30, 40]
    found = evaluate_detector([first, second], cost="batch").values
    assert found["range_recall"] == 0.5
    assert found["pa_f1"] == pytest.approx(2 / 3)


def test_a_volume_with_services_side_by_side_has_no_ramp_over_the_edge() -> None:
    chance = np.random.default_rng(2)
    truth = np.zeros(60, np.int8)
    truth[25:30] = 1
    score = chance.random(60)
    apart = [
        series_of("a", score[:30].tolist(), truth[:30].tolist()),
        series_of("b", score[30:].tolist(), [0] * 30),
    ]
    pooled, one = judged(apart), judged([series_of("a", score.tolist(), truth.tolist())])
    beside = volumes(pooled.score, pooled.is_anomalous, pooled.bounds, buffer=10)
    across = volumes(one.score, one.is_anomalous, one.bounds, buffer=10)
    assert beside != across
    at_none = [volumes(each.score, each.is_anomalous, each.bounds, buffer=0) for each in (pooled, one)]
    assert at_none[0] == at_none[1]


def test_quantiles_are_numpys() -> None:
    values = [3.0, 1.0, 4.0, 1.0, 5.0]
    for share in (0.0, 0.1, 0.5, 0.95, 1.0):
        assert quantile(values, share) == pytest.approx(np.quantile(values, share))
    assert isnan(quantile([], 0.5))


def test_a_fault_drawn_twice_counts_as_if_it_had_been_there_twice() -> None:
    run = run_of(4, services=3, faults=6, windows=200, warm_up=20)
    series = scored(run, "mediocre", 4)
    whole = detection_of(series, run.incidents, alarms_of(series))
    once = np.ones((1, len(whole.incidents)))
    twice = np.where(np.arange(len(whole.incidents)) == 2, 2.0, 1.0)[None]
    for replicates in (event_replicates, delay_replicates, window_replicates):
        values = evaluate_detector(series, run.incidents, alarms_of(series), cost="batch").values
        for name, column in replicates(whole, once).items():
            assert column[0] == pytest.approx(values[name]), name
    first, behind = int(whole.places.first[2]), int(whole.places.behind[2])
    windows = whole.windows
    score = np.concatenate((windows.score, windows.score[first:behind]))
    truth = np.concatenate((windows.is_anomalous, windows.is_anomalous[first:behind]))
    longer = judged([series_of("one", score.tolist(), truth.tolist())])
    for name, column in curve_metrics(longer).items():
        assert window_replicates(whole, twice)[name][0] == pytest.approx(column[0]), name
    delayed = delay_replicates(whole, twice)
    drawn = [*range(len(whole.incidents)), 2]
    apply_s = [
        (whole.found.known_us[place] - whole.incidents[place].applied_us) / 1e6
        for place in drawn
        if whole.found.is_found[place]
    ]
    assert delayed["delay_from_apply_p95_s"][0] == pytest.approx(np.quantile(apply_s, 0.95))


def test_a_stretch_drawn_twice_counts_in_the_volumes_as_another_like_it_far_away() -> None:
    chance = np.random.default_rng(6)
    truth = [0] * 200 + [1] * 6 + [0] * 200 + [1] * 9 + [0] * 200
    score = chance.normal(size=615) + 2 * np.array(truth)
    score[220:400] = -9.0
    once = detection_of([series_of("cart", score.tolist(), truth)])
    stretches = once.windows.runs(once.windows.is_anomalous)
    found = volume_replicates(once.windows, stretches, np.array([[1.0, 1.0], [2.0, 1.0], [0.0, 0.0]]))
    whole = volumes(once.windows.score, once.windows.is_anomalous, once.windows.bounds)
    assert found["vus_pr"][0] == pytest.approx(whole.pr, abs=1e-8)
    assert found["vus_roc"][0] == pytest.approx(whole.roc, abs=1e-8)
    assert isnan(found["vus_pr"][2])
    # Another service like the first stretch and its surroundings, and nothing else.
    again = series_of("mail", score[195:211].tolist(), truth[195:211])
    both = judged([series_of("cart", score.tolist(), truth), again])
    more = volumes(both.score, both.is_anomalous, both.bounds)
    assert found["vus_pr"][1] == pytest.approx(more.pr, abs=0.02)
    assert abs(found["vus_pr"][1] - whole.pr) > 0.0


def test_a_fault_at_several_services_is_drawn_as_one_whatever_the_order() -> None:
    weights = fault_weights(["b", "a", "b", "c"], seed=3)
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()
    assert (fault_weights(["c", "b", "a"], seed=3) == weights[:, [3, 0, 1]]).all()
    assert weights.mean(axis=0) == pytest.approx([1, 1, 1, 1], abs=0.1)


def test_an_interval_of_hits_is_as_wide_as_the_binomial_one() -> None:
    weights = fault_weights([f"{place:03}" for place in range(56)], seed=0)
    hits = (np.arange(56) < 28).astype(np.float64)
    found = intervals({"ac_1": (weights * hits).sum(axis=1) / 56, "none": np.full(1000, nan)})
    assert found["ac_1"].low == pytest.approx(0.5 - 0.131, abs=0.02)
    assert found["ac_1"].high == pytest.approx(0.5 + 0.131, abs=0.02)
    assert isnan(found["none"].low)


def test_infinite_scores_rank_as_they_are() -> None:
    found = evaluate_detector([series_of("cart", [inf, 1e300, -inf], [1, 0, 0])]).values
    assert found["auc_roc"] == 1


def test_an_incident_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(InvalidInput, match="expected an end after the start"):
        incident_of("cart", 5, 5)
