from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from evaluated_run import (
    FAULTS,
    WINDOWS,
    alarms,
    deployment,
    experiment,
    failure_class,
    labelled,
    root_cause,
    scores,
    start_us,
    truths,
)

from microservo.datasets.board_page import board_page
from microservo.domain.evaluation import Read, RunEvaluation
from microservo.domain.evaluation.board import Board, boards, compare, medals
from microservo.domain.evaluation.breakdown import MEAN, breakdown
from microservo.domain.evaluation.export import to_csv, to_json
from microservo.errors import InvalidInput
from schemas.records import Evaluation

CONTROLS = ("random", "always", "never", "constant")
DETECTORS = ("oracle", "good", *CONTROLS)


def evaluations(name: str = "", *more: Iterable[Read], cost: str = "batch") -> list[Evaluation]:
    """A run with two detectors, four controls and two rankers."""
    run = RunEvaluation("run-1", name=name)
    for control in CONTROLS:
        run.add(deployment(control, is_control=True))
    run.add(deployment("oracle", is_fenced=False))
    run.add(deployment("good"))
    said = [record for detector in DETECTORS for record in scores(detector)]
    for record in (*truths(), *said, *alarms("good"), *(each for part in more for each in part)):
        run.add(record)
    cases = sorted(run.oracle_cases(now_us=start_us(WINDOWS)), key=lambda each: each.opened_us)
    for place, case in enumerate(cases):
        run.add(case)
        run.add(root_cause(case, FAULTS[place][1], name="finds"))
        run.add(root_cause(case, "ads", "cart", "frontend", name="guesses"))
    is_batch = cost == "batch"
    return list(
        run.evaluations(at_us=start_us(WINDOWS), cost="batch" if is_batch else "live", is_final=is_batch)
    )


@pytest.fixture(scope="module")
def known() -> list[Evaluation]:
    return evaluations()


@pytest.fixture(scope="module")
def found(known: list[Evaluation]) -> list[Board]:
    return boards(known)


def test_detectors_stand_before_rankers_and_the_best_first(found: list[Board]) -> None:
    assert [board.scenario for board in found] == ["run-1/detector", "run-1/ranker"]
    assert [row.name for row in found[0].rows][:2] == ["oracle@1", "good@1"]
    assert [row.medal for row in found[0].rows] == ["gold", "silver", None, None, None, None]
    assert [row.name for row in found[1].rows] == ["finds@1", "guesses@1"]
    assert found[0].metrics[0].is_headline


def test_whatever_headline_ranks_no_control_stands_above_a_detector(known: list[Evaluation]) -> None:
    for metric in ("auc_pr", "vus_pr", "event_recall_at_1_per_hour"):
        (board, *_) = boards(known, [metric])
        ranks = {row.evaluation.algorithm: row.rank or 99 for row in board.rows}
        assert max(ranks["oracle"], ranks["good"]) < min(ranks[name] for name in CONTROLS)


def test_who_never_answered_has_no_place_also_where_nobody_else_stands(known: list[Evaluation]) -> None:
    mute = [replace(each, scored=0) for each in known if each.algorithm == "good"]
    assert [(row.rank, row.medal) for row in boards(mute)[0].rows] == [(None, None)]


def test_a_metric_of_ones_choice_ranks_and_an_unknown_one_is_refused(known: list[Evaluation]) -> None:
    (board,) = boards(known, ["missed_share", "mrr"])[:1]
    assert [metric.name for metric in board.metrics] == ["missed_share"]
    assert board.rows[0].name == "good@1"
    with pytest.raises(InvalidInput, match="unknown metric 'f2'; expected some of"):
        boards(known, ["f2"])


def test_a_board_of_a_run_that_goes_on_is_not_final_and_shows_what_there_is() -> None:
    (board, *_) = boards(evaluations(cost="live"))
    assert not board.is_final
    assert "vus_pr" not in [metric.name for metric in board.metrics]
    assert board.rows[0].intervals == {}


@pytest.mark.parametrize(
    ("windows", "cases", "words"),
    [(1415, 1, "1,415 windows, 1 incident"), (0, 1, "1 fault"), (0, 0, "0 faults")],
)
def test_a_board_says_what_it_was_judged_on(
    known: list[Evaluation], windows: int, cases: int, words: str
) -> None:
    (board,) = boards([replace(known[0], windows=windows, cases=cases)])
    assert board.counted == words


def test_rows_that_wait_for_newer_labels_are_told(known: list[Evaluation]) -> None:
    stale = [replace(each, labels_sha256="0" * 64) if each.algorithm == "good" else each for each in known]
    assert boards(known)[0].has_one_truth
    assert not boards(stale)[0].has_one_truth


def test_two_algorithms_are_compared_in_the_direction_of_each_metric(found: list[Board]) -> None:
    differences = {each.metric.name: each for each in compare(found[0], "good", "oracle@1")}
    assert differences["auc_pr"].better == "oracle@1"
    assert differences["auc_pr"].is_clear
    assert differences["missed_share"].better == "good@1"
    assert differences["coverage"].better is None
    with pytest.raises(InvalidInput, match="'nobody' is not on the board of run-1/detector; there are"):
        compare(found[0], "good", "nobody")


def test_medals_are_counted_over_scenarios_and_controls_get_none(known: list[Evaluation]) -> None:
    other = evaluations("shop")
    tallies = {each.algorithm: each for each in medals(boards([*known, *other]))}
    assert (tallies["oracle"].gold, tallies["finds"].gold) == (6, 8)
    assert set(tallies) == {"oracle", "good", "finds", "guesses"}


def test_csv_has_a_line_for_each_algorithm_and_no_formula(known: list[Evaluation]) -> None:
    named = [replace(each, algorithm="=1+1") if each.algorithm == "good" else each for each in known]
    rows = list(csv.DictReader(io.StringIO(to_csv(boards(named)))))
    assert len(rows) == len(DETECTORS) + 2
    assert (rows[0]["algorithm"], rows[0]["rank"], rows[0]["auc_pr"]) == ("oracle", "1", "1.0")
    assert rows[0]["is_fenced"] == "False"
    assert float(rows[1]["auc_pr_low"]) < float(rows[1]["auc_pr"]) < float(rows[1]["auc_pr_high"])
    assert rows[1]["algorithm"] == "'=1+1"
    assert rows[-1]["auc_pr"] == ""


def test_json_is_strict_and_says_what_chance_gets(found: list[Board]) -> None:
    document = json.loads(to_json(found), parse_constant=pytest.fail)
    assert document[0]["metrics"][0]["of_random"] == "the share of anomalous windows"
    assert document[0]["rows"][0]["values"]["auc_pr"] == 1.0
    assert len(document[0]["rows"][0]["input_sha256"]) == 64


def test_a_metric_is_broken_down_where_it_was(found: list[Board]) -> None:
    detectors, rankers = found
    by_kind = breakdown(detectors, "kind")
    assert by_kind is not None
    assert (by_kind.metric.name, by_kind.groups) == ("auc_pr", ("cpu-hog", "network-delay"))
    assert by_kind.values["oracle@1"] == {"cpu-hog": 1.0, "network-delay": 1.0}
    by_service = breakdown(detectors, "service")
    assert by_service is not None
    assert by_service.groups == (MEAN, "ads", "cart", "frontend")
    assert breakdown(rankers, "detector") is None, "nobody told the rankers of an alarm"
    assert breakdown(boards(evaluations(cost="live"))[0], "kind") is None, "the run goes on"


def test_json_has_what_was_broken_down(found: list[Board]) -> None:
    best = json.loads(to_json(found))[0]["rows"][0]
    assert best["groups"]["kind=cpu-hog"]["auc_pr"] == 1.0


class Page(HTMLParser):
    """Tags, links and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


def test_the_page_needs_nothing_but_itself_and_marks_who_is_a_control_or_has_no_fence(
    found: list[Board],
) -> None:
    page = Page(board_page(found))
    assert page.links == []
    assert "script" not in page.tags
    assert page.tags.count("svg") == 4
    assert page.texts.count("control") == len(CONTROLS)
    # Rankers were not said to be deployed, and so nothing is known of a fence.
    assert page.texts.count("no fence") == 3
    assert page.texts.count("fenced") == len(CONTROLS) + 1
    assert "r0" in {text.rpartition(" ")[2] for text in page.texts}, (
        "each row names the revision of its labels"
    )
    assert {"cpu-hog", "network-delay", "gold", "final"} <= set(page.texts)


def test_the_page_says_what_each_kind_of_fault_was_taken_for() -> None:
    run = RunEvaluation("run-1")
    for record in truths():
        run.add(record)
    cases = sorted(run.oracle_cases(now_us=start_us(WINDOWS)), key=lambda each: each.opened_us)
    for case in cases:
        run.add(case)
    run.add(failure_class(cases[0], "cpu-hog"))
    found = boards(run.evaluations(at_us=0, cost="batch"))
    texts = Page(board_page(found)).texts
    assert {"cpu-hog 1", "no answer 3", "no answer 4"} <= set(texts)


def test_a_name_is_text_on_the_page_and_nothing_else(known: list[Evaluation]) -> None:
    evil = [
        replace(each, algorithm="<script>x</script>", scenario="a\x1b[31m/detector") for each in known[:1]
    ]
    page = board_page(boards(evil))
    assert "<script>" not in page
    assert "\x1b" not in page


def test_a_board_without_a_fault_has_a_page() -> None:
    run = RunEvaluation("run-1")
    calm = [labelled("cart", number, truth="normal") for number in range(WINDOWS)]
    records: list[Read] = [experiment(), *calm, *scores("good")]
    for record in records:
        run.add(record)
    (board,) = boards(run.evaluations(at_us=0, cost="batch"))
    assert board.rows[0].rank is None
    assert "good@1" in board_page([board])
