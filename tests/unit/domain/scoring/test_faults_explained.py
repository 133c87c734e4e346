"""Rankings of root causes and classes of failures, counted by hand; and who is first on the board."""

from __future__ import annotations

import random
from math import isnan, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microservo.domain.scoring import (
    METRICS,
    Classified,
    Fault,
    Ranking,
    Row,
    confusion_matrix,
    evaluate_classifier,
    evaluate_ranker,
    medal_tally,
    metric,
    metrics_of,
    standings,
)
from microservo.errors import InvalidInput

SERVICES = tuple("abcdefghij")


def fault_of(fault_id: str, *answers: str, kind: str = "delay", severity: float = 1.0) -> Fault:
    return Fault(
        fault_id=fault_id, kind=kind, severity=severity, answers=frozenset(answers), candidates=len(SERVICES)
    )


def ranking_of(
    fault_id: str | None, ranks: str, *, at_us: int = 0, is_oracle_time: bool = True, case_id: str = ""
) -> Ranking:
    return Ranking(
        case_id=case_id or f"{fault_id}-{at_us}",
        fault_id=fault_id,
        at_us=at_us,
        ranks=tuple(ranks),
        is_oracle_time=is_oracle_time,
    )


FAULTS = [
    fault_of("1", "a"),
    fault_of("2", "b"),
    fault_of("3", "c", kind="leak", severity=0.2),
    fault_of("4", "d"),
]
RANKINGS = [ranking_of("1", "abc"), ranking_of("2", "aab"), ranking_of("3", ""), ranking_of("4", "eabcfd")]


def test_root_causes_are_counted_at_their_rank_and_failure_counts_as_0() -> None:
    found = evaluate_ranker(FAULTS, RANKINGS, times=["oracle"]).values
    # "aab" names b second: a service stands where it stands first.
    assert [found[f"ac_{k}"] for k in range(1, 6)] == [0.25, 0.5, 0.5, 0.5, 0.5]
    assert found["avg_5"] == pytest.approx(0.45)
    assert found["mrr"] == pytest.approx((1 + 1 / 2 + 0 + 1 / 6) / 4)
    assert found["chance_1"] == pytest.approx(0.1)
    assert found["chance_5"] == pytest.approx(0.5)
    assert found["lift_1"] == pytest.approx(0.15)
    assert found["chance_mrr"] == pytest.approx(sum(1 / rank for rank in range(1, 11)) / 10)


def test_several_root_causes_share_a_fault() -> None:
    found = evaluate_ranker([fault_of("1", "a", "b")], [ranking_of("1", "acb")], times=["oracle"]).values
    assert [found[f"ac_{k}"] for k in range(1, 4)] == [1.0, 0.5, 1.0]
    assert found["mrr"] == 1
    assert found["chance_1"] == pytest.approx(0.2)
    assert found["chance_2"] == pytest.approx(0.2)
    assert found["chance_mrr"] == pytest.approx(sum((10 - rank) / 45 / rank for rank in range(1, 10)))


def test_chained_a_fault_that_nobody_detected_counts_as_0() -> None:
    told = [ranking_of("1", "abc", is_oracle_time=False), ranking_of(None, "abc", is_oracle_time=False)]
    found = evaluate_ranker(FAULTS, [*RANKINGS, *told]).values
    assert found["chained_ac_1"] == 0.25
    assert found["chained_mrr"] == 0.25
    assert found["ac_3"] == 0.5


def test_the_first_case_of_a_fault_counts() -> None:
    told = [ranking_of("1", "ba", at_us=5), ranking_of("1", "ab", at_us=9)]
    for order in (told, told[::-1]):
        assert evaluate_ranker([fault_of("1", "a")], order, times=["oracle"]).values["ac_1"] == 0


def test_rankings_are_broken_down_by_kind_severity_and_root_cause() -> None:
    found = evaluate_ranker(FAULTS, RANKINGS, cost="batch")
    assert found.kinds["leak"]["ac_5"] == 0
    assert found.kinds["delay"]["ac_1"] == pytest.approx(1 / 3)
    assert found.severities["weak"]["mrr"] == 0
    assert found.services["b"]["ac_2"] == 1
    assert found.intervals["ac_1"].low == 0
    assert 0.5 <= found.intervals["ac_1"].high <= 1
    assert found.intervals["chained_ac_1"].high == 0


def test_every_metric_of_a_task_is_worked_out_and_no_other() -> None:
    assert set(evaluate_ranker(FAULTS, RANKINGS).values) == {each.name for each in metrics_of("ranker")}
    assert set(evaluate_classifier(FAULTS, []).values) == {each.name for each in metrics_of("classifier")}


@given(st.lists(st.permutations(SERVICES), max_size=8), st.permutations(range(8)))
def test_rankings_stay_within_bounds_and_know_no_order(ranks: list[list[str]], order: list[int]) -> None:
    faults = [fault_of(str(place), SERVICES[place]) for place in range(8)]
    told = [ranking_of(str(place), "".join(each)) for place, each in enumerate(ranks)]
    found = evaluate_ranker(faults, told, cost="batch")
    for name, value in found.values.items():
        assert METRICS[name].low <= value <= METRICS[name].high
    shuffled = [told[place] for place in order if place < len(told)]
    assert evaluate_ranker([faults[place] for place in order], shuffled, cost="batch") == found


@pytest.mark.parametrize("seed", range(20))
def test_a_ranker_that_knows_nothing_is_last_on_every_headline(seed: int) -> None:
    chance = random.Random(seed)
    faults = [fault_of(str(place), chance.choice(SERVICES)) for place in range(60)]
    rows = []
    for name in ("oracle", "mediocre", "random", "constant", "silent"):
        told = [
            ranking_of(fault.fault_id, ranked_by(name, fault, chance), is_oracle_time=is_oracle_time)
            for fault in faults
            for is_oracle_time in (True, False)
        ]
        values = evaluate_ranker(faults, told).values
        rows.append(Row(algorithm=name, is_control=name in {"random", "constant", "silent"}, values=values))
    for headline in (each.name for each in metrics_of("ranker") if each.is_headline):
        assert [each.algorithm for each in standings(rows, headline)][:2] == ["oracle", "mediocre"], headline


def ranked_by(name: str, fault: Fault, chance: random.Random) -> str:
    order = chance.sample(SERVICES, len(SERVICES)) if name != "constant" else list(SERVICES)
    if name == "oracle" or (name == "mediocre" and chance.random() < 0.6):
        order.sort(key=lambda service: service not in fault.answers)
    return "" if name == "silent" else "".join(order)


@pytest.mark.parametrize("seed", range(20))
def test_a_classifier_that_knows_nothing_is_last_on_every_headline(seed: int) -> None:
    chance = random.Random(seed)
    kinds = ["delay"] * 6 + ["leak", "error", "kill", "hog"]
    faults = [fault_of(str(place), "a", kind=chance.choice(kinds)) for place in range(80)]
    rows = []
    for name in ("oracle", "mediocre", "random", "majority", "silent"):
        cases = []
        for fault in faults:
            guess = {"majority": "delay", "silent": ""}.get(name, chance.choice(kinds))
            knows = name == "oracle" or (name == "mediocre" and chance.random() < 0.5)
            cases.append(said(fault.fault_id, fault.kind if knows else guess))
        values = evaluate_classifier(faults, cases).values
        rows.append(Row(algorithm=name, is_control=name in {"random", "majority", "silent"}, values=values))
    for headline in (each.name for each in metrics_of("classifier") if each.is_headline):
        assert [each.algorithm for each in standings(rows, headline)][:2] == ["oracle", "mediocre"], headline


def test_a_fault_without_an_answer_among_the_candidates_is_refused() -> None:
    with pytest.raises(InvalidInput, match="at least one"):
        fault_of("1")


def said(fault_id: str, predicted: str, at_us: int = 0) -> Classified:
    return Classified(case_id=fault_id, fault_id=fault_id, at_us=at_us, predicted=predicted)


def test_classes_are_counted_and_no_answer_is_wrong() -> None:
    faults = [fault_of(str(place), "a", kind=kind) for place, kind in enumerate(["x", "x", "y", "y", "z"])]
    cases = [said("0", "x"), said("1", "y"), said("2", "y"), said("3", ""), said("2", "x", at_us=5)]
    matrix = confusion_matrix(faults, cases)
    assert matrix.classes == ("x", "y", "z")
    assert matrix.counts.tolist() == [[1, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 1]]
    found = evaluate_classifier(faults, cases, cost="batch")
    assert found.values["micro_f1"] == pytest.approx(4 / 8)
    assert found.values["macro_f1"] == pytest.approx((2 / 3 + 0.5 + 0) / 3)
    assert found.values["weighted_f1"] == pytest.approx((2 * 2 / 3 + 2 * 0.5 + 0) / 5)
    assert found.intervals["micro_f1"].low < 0.5 < found.intervals["micro_f1"].high


def test_without_faults_nothing_is_defined() -> None:
    for found in (evaluate_ranker([], []), evaluate_classifier([], [])):
        assert all(isnan(value) for value in found.values.values())


def rows() -> list[Row]:
    values = {"good": 0.9, "twin": 0.9, "fair": 0.6, "poor": 0.1, "random": 0.2, "lost": nan}
    return [
        Row(algorithm=name, is_control=name == "random", values={"vus_pr": value, "missed_share": value})
        for name, value in values.items()
    ]


def test_equal_values_share_a_rank_and_a_medal_and_controls_get_none() -> None:
    found = standings(rows(), "vus_pr")
    assert [(each.algorithm, each.rank, each.medal) for each in found] == [
        ("good", 1, "gold"),
        ("twin", 1, "gold"),
        ("fair", 3, "bronze"),
        ("random", 4, None),
        ("poor", 5, None),
        ("lost", None, None),
    ]


def test_where_less_is_better_the_least_is_first() -> None:
    found = standings(rows(), "missed_share")
    assert [each.algorithm for each in found][:2] == ["poor", "random"]
    assert [each.medal for each in found] == ["gold", None, None, None, None, None]


def test_medals_are_added_up_over_scenarios() -> None:
    tally = medal_tally([rows(), rows()[2:]], ["vus_pr"])
    assert [(each.algorithm, each.gold, each.silver, each.bronze) for each in tally] == [
        ("fair", 1, 0, 1),
        ("good", 1, 0, 0),
        ("twin", 1, 0, 0),
        ("lost", 0, 0, 0),
        ("poor", 0, 0, 0),
    ]


def test_what_can_be_won_without_knowing_anything_gives_no_medals() -> None:
    with pytest.raises(InvalidInput, match="expected a headline metric"):
        medal_tally([rows()], ["missed_share"])


def test_two_rows_of_one_algorithm_are_refused() -> None:
    with pytest.raises(InvalidInput, match="more than one row of 'good'"):
        standings([*rows(), *rows()[:1]], "vus_pr")


def test_an_unknown_metric_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidInput, match="unknown metric 'accuracy'; expected one of coverage"):
        metric("accuracy")
