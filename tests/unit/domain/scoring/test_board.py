"""What the board shows of whole runs: who knows nothing is last, and masked windows count for nobody."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache
from math import inf, isnan, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scoring_runs import alarms_of, incident_of, run_of, scored, series_of

from microservo.domain.scoring import (
    METRICS,
    Evaluation,
    Incident,
    Row,
    Series,
    evaluate_detector,
    metrics_of,
    standings,
)
from microservo.domain.scoring.series import judged
from microservo.domain.scoring.volume import volume_metrics
from microservo.errors import InvalidInput

CONTROLS = ("random", "always", "never", "constant")
DENSE = {"services": 6, "faults": 18, "windows": 170, "warm_up": 30}
"""Two minutes of warm-up, then a fault every 40 s."""
HEADLINES = [each.name for each in metrics_of("detector") if each.is_headline]


@cache
def evaluated(name: str, seed: int) -> Evaluation:
    run = run_of(seed)
    series = scored(run, name, seed)
    return evaluate_detector(series, run.incidents, alarms_of(series), cost="batch")


def same(one: Evaluation, other: Evaluation) -> bool:
    """To the last digit; NaN is NaN."""
    return repr(one) == repr(other)


@pytest.mark.parametrize("shape", [{}, DENSE], ids=["usual", "short and dense"])
@pytest.mark.parametrize("seed", range(20))
def test_who_knows_nothing_is_last_on_every_headline_metric(seed: int, shape: dict[str, int]) -> None:
    run = run_of(seed, **shape)
    rows = []
    for name in ("oracle", "mediocre", *CONTROLS):
        series = scored(run, name, seed)
        live = evaluate_detector(series, run.incidents, alarms_of(series)).values
        values = {**live, **volume_metrics(judged(series))}
        rows.append(Row(algorithm=name, is_control=name in CONTROLS, values=values))
    for headline in HEADLINES:
        order = [each.algorithm for each in standings(rows, headline)]
        assert set(order[:2]) == {"oracle", "mediocre"}, headline
        assert set(order[2:]) == set(CONTROLS), headline


def test_every_metric_of_a_detector_is_worked_out_and_no_other() -> None:
    found = evaluated("mediocre", 0)
    assert set(found.values) == {each.name for each in metrics_of("detector")}
    run = run_of(0)
    live = evaluate_detector(scored(run, "mediocre", 0), run.incidents)
    assert set(live.values) == {each.name for each in metrics_of("detector", "live")}


@pytest.mark.parametrize("name", ["oracle", "mediocre", *CONTROLS])
def test_values_stay_within_the_bounds_that_the_catalogue_states(name: str) -> None:
    found = evaluated(name, 3)
    for values in (found.values, found.macro, *found.services.values(), *found.kinds.values()):
        for metric, value in values.items():
            assert isnan(value) or METRICS[metric].low <= value <= METRICS[metric].high, metric


ROWS = st.lists(
    st.tuples(st.sampled_from([nan, 0.0, 0.25, 0.5, 1.0]), st.sampled_from([0, 0, 1, -1]), st.booleans()),
    min_size=1,
    max_size=60,
)


def some_series(rows: dict[str, list[tuple[float, int, bool]]]) -> list[Series]:
    return [
        series_of(name, [row[0] for row in own], [row[1] for row in own], [row[2] for row in own])
        for name, own in rows.items()
    ]


def some_incidents(series: list[Series]) -> list[Incident]:
    found = []
    for each in series:
        first = 0
        while first < len(each.truth):
            behind = first
            while behind < len(each.truth) and each.truth[behind] == 1:
                behind += 1
            if behind > first:
                found.append(incident_of(each.service, first, behind, kind="even" if first % 2 else "odd"))
            first = behind + 1
    return found


@settings(max_examples=30)
@given(st.dictionaries(st.sampled_from(["cart", "mail", "user"]), ROWS, min_size=1))
def test_any_windows_give_values_within_the_bounds(rows: dict[str, list[tuple[float, int, bool]]]) -> None:
    series = some_series(rows)
    found = evaluate_detector(series, some_incidents(series), alarms_of(series), cost="batch")
    for metric, value in found.values.items():
        slack = 1e-12
        assert isnan(value) or METRICS[metric].low - slack <= value <= METRICS[metric].high + slack, metric


@settings(max_examples=20)
@given(
    st.dictionaries(st.sampled_from(["cart", "mail", "user"]), ROWS, min_size=1),
    st.randoms(use_true_random=False),
)
def test_order_and_pieces_change_no_digit(
    rows: dict[str, list[tuple[float, int, bool]]], chance: random.Random
) -> None:
    series = some_series(rows)
    incidents, alarms = some_incidents(series), alarms_of(series)
    whole = evaluate_detector(series, incidents, alarms, cost="batch")
    pieces = [piece for each in series for piece in cut(each, chance)]
    for listed in (pieces, incidents, alarms):
        chance.shuffle(listed)
    assert same(whole, evaluate_detector(pieces, incidents, alarms, cost="batch"))


def cut(series: Series, chance: random.Random) -> list[Series]:
    """Each window goes to one of three pieces."""
    piece = np.array([chance.randrange(3) for _ in series.score])
    return [
        replace(
            series,
            **{
                name: getattr(series, name)[piece == number]
                for name in ("start_us", "end_us", "score", "truth", "flagged")
            },
        )
        for number in range(3)
    ]


@settings(max_examples=20)
@given(ROWS, st.integers(0, 2**32))
def test_what_was_said_of_masked_windows_changes_nothing(
    rows: list[tuple[float, int, bool]], seed: int
) -> None:
    series = some_series({"cart": rows})
    chance = np.random.default_rng(seed)
    is_masked = series[0].truth == -1
    other = replace(
        series[0],
        score=np.where(is_masked, chance.random(len(rows)), series[0].score),
        flagged=np.where(is_masked, chance.random(len(rows)) < 0.5, series[0].flagged),
    )
    incidents = some_incidents(series)
    assert same(
        evaluate_detector(series, incidents, cost="batch"),
        evaluate_detector([other], incidents, cost="batch"),
    )


def test_an_incident_whose_windows_are_all_masked_is_neither_found_nor_missed() -> None:
    truth = [0] * 20 + [-1] * 4 + [0] * 10 + [1] * 3 + [0] * 10
    series = series_of("cart", [float(each == 1) for each in truth], truth)
    found = evaluate_detector([series], [incident_of("cart", 20, 24), incident_of("cart", 34, 37)]).values
    assert (found["event_recall"], found["missed_share"]) == (1.0, 0.0)


def test_an_incident_at_a_service_without_windows_counts_for_nobody() -> None:
    series = [
        series_of(name, [0.0] * 10 + [1.0] * 3 + [0.0] * 7, [0] * 10 + [1] * 3 + [0] * 7) for name in "ac"
    ]
    incidents = [incident_of(name, 10, 13) for name in "abc"]
    found = evaluate_detector(series, incidents, cost="batch")
    assert found.values["event_recall"] == 1
    assert found.services["c"]["event_recall"] == 1


@settings(max_examples=60)
@given(ROWS, st.integers(0, 59))
def test_a_higher_score_of_an_anomalous_window_never_lowers_an_area(
    rows: list[tuple[float, int, bool]], place: int
) -> None:
    series = some_series({"cart": rows})[0]
    anomalous = (series.truth == 1).nonzero()[0]
    if not len(anomalous):
        return
    better = series.score.copy()
    better[anomalous[place % len(anomalous)]] = 2.0
    before = evaluate_detector([series]).values
    after = evaluate_detector([replace(series, score=better)]).values
    for name in ("auc_pr", "auc_roc"):
        assert isnan(before[name]) or after[name] >= before[name] - 1e-15


def test_a_silent_algorithm_is_told_from_a_calm_one() -> None:
    truth = [0] * 30 + [1] * 5 + [0] * 15
    silent = evaluate_detector([series_of("cart", [nan] * 50, truth, [True] * 50)]).values
    assert silent["coverage"] == 0
    assert silent["point_f1"] == 0
    assert silent["auc_roc"] == 0.5
    half = evaluate_detector([series_of("cart", [0.0] * 25 + [nan] * 25, truth)]).values
    assert half["coverage"] == 0.5


def test_a_window_without_a_score_ranks_below_every_other() -> None:
    found = evaluate_detector([series_of("cart", [nan, -1e9, -inf], [1, 0, 0], [False] * 3)]).values
    assert found["auc_roc"] == 0.25


def test_a_service_without_anomalies_is_left_out_of_the_mean_and_not_of_the_whole() -> None:
    sick = series_of("cart", [0.1, 0.9, 0.2, 0.3], [0, 1, 0, 0])
    well = series_of("mail", [0.1, 0.95, 0.2, 0.3], [0, 0, 0, 0])
    found = evaluate_detector([sick, well])
    assert found.macro["auc_pr"] == 1.0
    assert found.values["auc_pr"] == 0.5
    assert isnan(found.services["mail"]["auc_pr"])


def test_values_by_kind_and_severity_know_only_the_incidents_of_it() -> None:
    truth = [0] * 20 + [1] * 4 + [0] * 20 + [1] * 4 + [0] * 12
    score = [1.0 if 20 <= place < 24 else 0.0 for place in range(60)]
    incidents = [
        incident_of("cart", 20, 24, kind="delay", severity=1.0),
        incident_of("cart", 44, 48, kind="leak", severity=0.2),
    ]
    found = evaluate_detector([series_of("cart", score, truth)], incidents, cost="batch")
    assert found.kinds["delay"]["event_recall"] == 1
    assert found.kinds["delay"]["point_recall"] == 1
    assert found.kinds["leak"]["event_recall"] == 0
    assert found.severities["strong"]["auc_pr"] == 1
    assert found.severities["weak"]["point_recall"] == 0
    assert found.values["event_recall"] == 0.5


def test_intervals_hold_the_value_and_are_the_same_for_the_same_seed() -> None:
    found = evaluated("mediocre", 1)
    for name, interval in found.intervals.items():
        assert interval.low <= found.values[name] <= interval.high, name
    assert found.intervals["auc_pr"].high - found.intervals["auc_pr"].low > 0.01
    run = run_of(1)
    series = scored(run, "mediocre", 1)
    again = evaluate_detector(series, run.incidents[::-1], alarms_of(series), cost="batch")
    assert again.intervals == found.intervals
    other = evaluate_detector(series, run.incidents, alarms_of(series), cost="batch", seed=1)
    assert other.intervals != found.intervals


def test_a_window_that_comes_twice_is_refused_with_its_instant() -> None:
    series = series_of("cart", [0.1, 0.2], [0, 1])
    with pytest.raises(InvalidInput, match="starts at 0, not after"):
        evaluate_detector([series, series])


def test_columns_of_different_length_are_refused() -> None:
    series = series_of("cart", [0.1, 0.2], [0, 1])
    with pytest.raises(InvalidInput, match="as many in each"):
        replace(series, score=np.zeros(3))


def test_a_truth_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidInput, match="expected 1, 0 or -1"):
        series_of("cart", [0.1], [2])


def test_nothing_at_all_gives_no_value_and_no_error() -> None:
    assert all(isnan(value) for value in evaluate_detector([], cost="batch").values.values())
