from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from math import isnan
from random import Random

import pytest
from evaluated_run import (
    FAULTS,
    SERVICES,
    WARM_UP,
    WINDOWS,
    S,
    alarm,
    alarm_case,
    alarms,
    deployment,
    experiment,
    failure_class,
    fault_records,
    labelled,
    root_cause,
    scores,
    start_us,
    truths,
)

from microservo.domain.evaluation import Read, RunEvaluation
from microservo.domain.evaluation.breakdown import taken_for
from microservo.domain.scoring import Interval, Row, metrics_of, standings
from schemas.codec import decode_as, encode
from schemas.records import Case, Evaluation


def evaluated(*parts: Iterable[Read], cost: str = "live", name: str = "") -> dict[str, Evaluation]:
    """The evaluation of each algorithm, as a reader of the topic gets it."""
    run = RunEvaluation("run-1", name=name)
    for part in parts:
        for record in part:
            run.add(record)
    found = run.evaluations(at_us=start_us(WINDOWS), cost="batch" if cost == "batch" else "live")
    return {each.algorithm: decode_as(Evaluation, encode(each)) for each in found}


def value(evaluation: Evaluation, metric: str) -> float:
    return evaluation.values[evaluation.metrics.index(metric)]


def group(evaluation: Evaluation, name: str, metric: str) -> float:
    return evaluation.group_values[
        list(zip(evaluation.groups, evaluation.group_metrics, strict=True)).index((name, metric))
    ]


def test_who_knows_all_finds_all_and_who_knows_nothing_stands_behind_who_knows_something() -> None:
    names = ("oracle", "good", "random", "always", "never", "constant")
    found = evaluated(truths(), *(scores(name) for name in names), cost="batch")
    assert value(found["oracle"], "auc_pr") == value(found["oracle"], "event_recall_at_1_per_hour") == 1.0
    rows = [
        Row(
            algorithm=name,
            is_control=name not in ("oracle", "good"),
            values=dict(zip(each.metrics, each.values, strict=True)),
        )
        for name, each in found.items()
    ]
    for metric in metrics_of("detector"):
        if metric.is_headline:
            ranks = {each.algorithm: each.rank for each in standings(rows, metric.name)}
            ordered = [ranks["oracle"] or 9, ranks["good"] or 9, *(ranks[name] or 9 for name in names[2:])]
            assert ordered[0] <= ordered[1] < min(ordered[2:]), metric.name


def test_windows_of_the_declared_warm_up_and_masked_ones_count_for_nobody() -> None:
    found = evaluated(truths(), scores("good"))["good"]
    masked = sum(1 for _ in FAULTS) * 2
    assert found.windows == found.scored == (WINDOWS - WARM_UP) * len(SERVICES) - masked
    assert found.cases == len(FAULTS)
    assert (found.scenario, found.evaluation_id) == ("run-1/detector", "run-1/detector/good@1")


def test_who_came_late_is_judged_on_the_same_windows_as_the_others() -> None:
    found = evaluated(truths(), scores("oracle"), scores("good", range(100, WINDOWS)))
    assert found["oracle"].windows == found["good"].windows
    assert found["good"].scored < found["good"].windows
    assert value(found["good"], "coverage") == found["good"].scored / found["good"].windows
    # Four of eight faults were over before it came.
    assert value(found["good"], "event_recall_at_1_per_hour") <= 0.5


def test_a_late_newcomer_changes_nothing_for_the_others() -> None:
    alone = evaluated(truths(), scores("oracle"))["oracle"]
    beside = evaluated(truths(), scores("oracle"), scores("good", range(190, WINDOWS)))["oracle"]
    assert repr(alone) == repr(beside)


@pytest.mark.parametrize("cost", ["live", "batch"])
def test_order_and_repetition_change_no_digit(cost: str) -> None:
    parts = [*truths(), *scores("good"), *scores("random"), *alarms("good"), *fault_records(0)]
    in_order = evaluated(parts, cost=cost)
    twice = [*parts, *parts]
    Random(1).shuffle(twice)
    shuffled = evaluated(twice, cost=cost)
    assert {name: repr(each) for name, each in in_order.items()} == {
        name: repr(each) for name, each in shuffled.items()
    }


def test_what_comes_bit_by_bit_ends_where_all_at_once_does() -> None:
    run = RunEvaluation("run-1")
    for record in truths(range(0)):
        run.add(record)
    for number in range(WINDOWS):
        for service in SERVICES:
            run.add(labelled(service, number))
        for score in scores("good", range(number, number + 1)):
            run.add(score)
        found = list(run.evaluations(at_us=start_us(WINDOWS)))
    assert repr(found) == repr(list(evaluated(truths(), scores("good")).values()))


def test_a_later_label_scores_anew_and_says_so() -> None:
    before = evaluated(truths(), scores("oracle"))["oracle"]
    _, service, first, _ = FAULTS[0]
    moved = [labelled(service, first, truth="normal", revision=2)]
    after = evaluated(truths(), scores("oracle"), moved, truths())["oracle"]
    assert value(before, "auc_pr") == 1.0 > value(after, "auc_pr")
    assert (before.label_revision, after.label_revision) == (0, 2)
    assert before.labels_sha256 != after.labels_sha256
    assert before.input_sha256 == after.input_sha256


def test_only_what_changed_is_worked_out_anew() -> None:
    run = RunEvaluation("run-1")
    for record in (*truths(), *scores("good", range(100)), *scores("random", range(100))):
        run.add(record)
    assert len(list(run.evaluations(at_us=0))) == 2
    assert not run.changed
    for record in scores("good", range(99, 101)):
        run.add(record)
    assert [each.algorithm for each in run.evaluations(at_us=0)] == ["good"]
    run.add(labelled("cart", 5, truth="masked", revision=3))
    assert run.changed == {("good", 1), ("random", 1)}


def test_delay_is_told_in_event_time_whatever_the_clock_of_the_host_said() -> None:
    found = [
        evaluated(
            truths(),
            scores("oracle"),
            [alarm("oracle", FAULTS[0][1], FAULTS[0][2] + 1, FAULTS[0][3], raised_s=late_s)],
        )
        for late_s in (3.0, 300.0)
    ]
    # Applied a second into its first window; known at the end of the second one, and its first cut of 2 s.
    assert [value(each["oracle"], "delay_from_apply_p50_s") for each in found] == [11.0, 11.0]
    assert value(found[0]["oracle"], "delay_from_effect_p50_s") == 10.0


def test_windows_under_an_open_alarm_are_flagged_up_to_the_one_that_closed_it() -> None:
    found = evaluated(truths(), scores("oracle"), alarms("oracle"))["oracle"]
    # Seven of eight faults, each without its first window; behind it, two masked ones.
    assert value(found, "point_recall") == 5 * 7 / (6 * 8)
    assert value(found, "point_precision") == 1.0
    assert value(found, "missed_share") == 1 / 8


def test_metrics_are_broken_down_and_have_intervals_when_all_is_worked_out() -> None:
    found = evaluated(truths(), scores("good"), alarms("good"), cost="batch")["good"]
    assert {"kind=cpu-hog", "severity=strong", "service=cart", "service=*"} <= set(found.groups)
    interval = dict(zip(found.metrics, map(Interval, found.lows, found.highs), strict=True))["auc_pr"]
    assert interval.low < value(found, "auc_pr") < interval.high
    assert found.budgets_per_hour[3] == 1.0
    assert found.budget_recalls[3] == value(found, "event_recall_at_1_per_hour")


def test_who_scores_the_system_as_a_whole_stands_on_a_board_of_its_own() -> None:
    whole = [replace(each, service="system") for each in scores("oracle") if each.service == "ads"]
    found = evaluated(truths(), whole)["oracle"]
    assert found.scenario == "run-1/system-detector"
    assert found.cases == len(FAULTS)
    # At an instant at which any service is anomalous, the system is; a masked one hides the rest.
    assert found.windows == WINDOWS - WARM_UP - 2 * len(FAULTS)


def test_windows_of_hosts_and_other_runs_count_for_nobody() -> None:
    foreign = [
        replace(labelled("ads", 50), run_id="run-2"),
        replace(labelled("machine", 50), service_kind="host"),
    ]
    beside = evaluated(truths(), foreign, scores("good"))
    assert repr(evaluated(truths(), scores("good"))) == repr(beside)


def test_what_was_not_final_when_the_run_ended_counts_for_nobody() -> None:
    """Its labels wait for more, and hosts that went may never have scored it."""
    over = replace(experiment(), status="finished", finished_at_us=start_us(100))
    until_s = 30
    found = evaluated(truths(), scores("oracle"), [over])["oracle"]
    in_time = evaluated(truths(range(100 - until_s // 5)), scores("oracle"))["oracle"]
    assert (found.windows, found.values[:3]) == (in_time.windows, in_time.values[:3])
    gone = evaluated(truths(), scores("oracle", range(94)), [over])["oracle"]
    assert value(gone, "coverage") == 1.0


def test_a_control_is_marked_also_when_it_was_removed() -> None:
    found = evaluated(truths(), [deployment("random", is_control=True, is_fenced=False)], scores("random"))
    assert (found["random"].is_control, found["random"].is_fenced) == (True, False)
    again = evaluated(truths(), scores("random"), [found["random"]])
    assert (again["random"].is_control, again["random"].is_fenced) == (True, False)


def oracle_cases() -> list[Case]:
    run = RunEvaluation("run-1")
    for record in truths():
        run.add(record)
    return run.oracle_cases(now_us=start_us(WINDOWS))


def test_the_oracle_asks_about_each_fault_from_its_first_effect_to_its_end() -> None:
    cases = oracle_cases()
    _, _, first, behind = FAULTS[0]
    case = min(cases, key=lambda each: each.opened_us)
    assert len(cases) == len(FAULTS)
    assert case.opened_us == start_us(first) + 2 * S
    assert case.until_us == start_us(behind) - S
    assert (case.origin, case.service, case.detector) == ("oracle", "", "")
    assert "fault-0" not in case.case_id


def test_the_oracle_waits_until_a_fault_is_final_and_asks_once() -> None:
    run = RunEvaluation("run-1")
    for record in (*truths(range(0))[:1], *fault_records(0, is_final=False)):
        run.add(record)
    assert run.oracle_cases(now_us=0) == []
    fault, effect, verdict = fault_records(0)
    run.add(replace(effect, version=9))
    run.add(replace(verdict, version=9))
    run.add(fault)
    (case,) = run.oracle_cases(now_us=0)
    run.add(case)
    assert run.oracle_cases(now_us=0) == []


def test_the_oracle_shows_no_more_than_a_minute_and_nothing_that_was_not_visible() -> None:
    run = RunEvaluation("run-1")
    fault, effect, verdict = fault_records(0)
    for record in (experiment(), replace(fault, recovered_at_us=start_us(190)), effect, verdict):
        run.add(record)
    (case,) = run.oracle_cases(now_us=0)
    assert case.until_us - case.opened_us == 60 * S
    run.add(replace(effect, version=5, finding="not_visible"))
    assert run.oracle_cases(now_us=0) == []


def test_a_ranker_is_judged_with_the_oracles_time_and_chained_to_detectors() -> None:
    cases = oracle_cases()
    told = [
        root_cause(case, FAULTS[place][1])
        for place, case in enumerate(sorted(cases, key=lambda each: each.opened_us))
    ]
    chained = [alarm_case("good", service, first + 1) for _, service, first, _ in FAULTS[:4]]
    wrong = [root_cause(case, "nobody", FAULTS[place][1]) for place, case in enumerate(chained)]
    found = evaluated(truths(), cases, told, chained, wrong)["ranker"]
    assert found.task == "ranker"
    assert found.scenario == "run-1/ranker"
    assert value(found, "ac_1") == value(found, "mrr") == 1.0
    # Four of eight faults were detected, the cause is the second of each ranking.
    assert (value(found, "chained_ac_1"), value(found, "chained_mrr")) == (0.0, 0.25)
    assert group(found, "detector=good@1", "chained_ac_2") == 0.5
    assert value(found, "chance_1") == pytest.approx(1 / 3)


def test_alarms_of_controls_make_no_chain() -> None:
    case = alarm_case("random", FAULTS[0][1], FAULTS[0][2])
    said = [root_cause(case, FAULTS[0][1])]
    control: list[Read] = [*scores("random", range(3)), deployment("random", is_control=True)]
    assert "chained_ac_1" in evaluated(truths(), [case], said)["ranker"].metrics
    assert "chained_ac_1" not in evaluated(truths(), [case], said, control)["ranker"].metrics


@pytest.mark.parametrize(
    ("service", "number", "fault"),
    [
        (FAULTS[0][1], FAULTS[0][2] + 2, "fault-0"),
        ("frontend", FAULTS[0][2] + 2, "fault-0"),
        (FAULTS[1][1], FAULTS[1][2], "fault-1"),
        ("cart", 25, None),
        ("cart", FAULTS[0][3] + 2, None),
    ],
)
def test_a_case_is_of_the_fault_that_shows_when_it_opens(
    service: str, number: int, fault: str | None
) -> None:
    case = alarm_case("good", service, number)
    root = {fault_id: root for fault_id, root, _, _ in FAULTS}.get(fault or "", "nobody")
    found = evaluated(truths(), [case], [root_cause(case, root)])["ranker"]
    assert value(found, "chained_ac_1") == (0.0 if fault is None else 1 / 8)


def test_a_classifier_is_judged_by_its_likeliest_kind() -> None:
    cases = sorted(oracle_cases(), key=lambda each: each.opened_us)
    said = [failure_class(case, "cpu-hog", "network-delay", probabilities=(0.7, 0.3)) for case in cases]
    found = evaluated(truths(), cases, said)["classifier"]
    assert (found.task, value(found, "micro_f1")) == ("classifier", 0.5)
    assert taken_for(found) == {"cpu-hog": {"cpu-hog": 4}, "network-delay": {"cpu-hog": 4}}


def test_a_fault_that_a_classifier_did_not_answer_is_taken_for_nothing() -> None:
    cases = sorted(oracle_cases(), key=lambda each: each.opened_us)
    said = [failure_class(case, *(["cpu-hog"] if case is cases[0] else [])) for case in cases[:2]]
    found = evaluated(truths(), cases, said)["classifier"]
    taken = taken_for(found)
    assert sum(count for counts in taken.values() for count in counts.values()) == len(FAULTS)
    assert taken["cpu-hog"] == {"": 3, "cpu-hog": 1}
    assert taken["network-delay"] == {"": 4}


def test_a_dataset_gives_a_scenario_its_name() -> None:
    found = evaluated(truths(), scores("good"), name="shop")["good"]
    assert (found.scenario, found.run_id) == ("shop/detector", "run-1")


def test_nothing_is_said_before_there_is_a_label() -> None:
    assert evaluated(truths(range(0))[:1], scores("good")) == {}


def test_without_a_fault_the_share_of_found_ones_is_not_defined() -> None:
    calm = [labelled(service, number, truth="normal") for service in SERVICES for number in range(WINDOWS)]
    found = evaluated(truths(range(0))[:1], calm, scores("good"))["good"]
    assert isnan(value(found, "auc_pr"))
