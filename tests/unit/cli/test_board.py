"""The board on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import Result
from evaluated_run import WINDOWS, alarms, deployment, experiment, scores, start_us, truths

from microservo.cli.board import print_evaluation
from microservo.cli.root import cli
from microservo.client.client import Client
from microservo.domain.evaluation import RunEvaluation
from microservo.log.publisher import Publisher
from microservo.log.run_records import write_run
from microservo.testing import MemoryBroker

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def _a_board(broker: MemoryBroker) -> None:
    """A detector and its control, judged to the end."""
    write_run(broker, experiment(), process="system", clock=lambda: start_us(0))
    evaluation = RunEvaluation("run-1")
    for record in (
        *(deployment("good"), deployment("random", is_control=True, is_fenced=False)),
        *(*truths(), *scores("good"), *scores("random"), *alarms("good")),
    ):
        evaluation.add(record)
    with broker.producer() as producer:
        publisher = Publisher(producer, "evaluator", prefix="", clock=lambda: start_us(WINDOWS))
        for found in evaluation.evaluations(at_us=start_us(WINDOWS), cost="batch", is_final=True):
            publisher.publish(found)
        publisher.flush(5)


def test_the_board_of_the_latest_run_says_who_is_better_and_what_chance_gets(run: Run) -> None:
    result = run("board", "show")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0].startswith("run-1/detector - 524 windows, 8 incidents, labels up to revision 0, final")
    rows = [line for line in lines if "@1" in line]
    assert ("good@1" in rows[0], "random@1" in rows[1]) == (True, True)
    assert "none" in rows[1]
    assert "control" in result.output
    assert "By chance - AUC-PR: the share of anomalous windows" in result.output


def test_where_nothing_could_be_judged_it_is_said_why_instead_of_a_table(
    broker: MemoryBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    (board,) = Client(broker=broker).board.show()
    found = board.rows[0].evaluation
    print_evaluation(found)
    assert "AUC-PR" in capsys.readouterr().out
    print_evaluation(replace(found, windows=0, scored=0, cases=0))
    shown = capsys.readouterr().out
    assert "nothing was judged: no final window and no known fault lies behind" in shown
    assert "AUC-PR" not in shown


def test_a_row_that_is_piped_is_one_line_with_all_that_is_known_of_an_algorithm(run: Run) -> None:
    shown, exported = run("board", "show"), run("board", "export", "--format", "json")
    hashes = [row["input_sha256"][:8] for row in json.loads(exported.output)[0]["rows"]]
    for number, name in enumerate(("good@1", "random@1")):
        (row,) = [line for line in shown.output.splitlines() if name in line]
        assert ("control" in row) == (name == "random@1")
        assert hashes[number] in row
        assert row.index(" MiB") < row.index(hashes[number])


def test_metrics_of_ones_choice_are_shown_and_unknown_ones_refused(run: Run) -> None:
    assert "NAB, standard" in run("board", "show", "--metric", "nab_standard").output
    refused = run("board", "show", "--metric", "f2")
    assert refused.exit_code == 2
    assert "unknown metric 'f2'" in refused.output


def test_a_board_is_broken_down_with_a_line_for_each_group(run: Run) -> None:
    result = run("board", "show", "--by", "kind", "--metric", "event_recall")
    assert result.exit_code == 0, result.output
    heading, *lines = result.output.splitlines()
    assert heading == "run-1/detector - Incidents found"
    cells = [[cell.strip() for cell in line.strip("│┃").replace("┃", "│").split("│")] for line in lines]
    assert ["kind of fault", "good@1", "random@1"] in cells
    assert {"cpu-hog", "network-delay"} <= {row[0] for row in cells}
    assert "mean of services" in run("board", "show", "--by", "service").output


def test_what_was_not_broken_down_is_said(run: Run) -> None:
    for by, what in (("answer", "kind of fault"), ("detector", "detector whose alarms it was told")):
        assert f"nothing is known by {what}" in run("board", "show", "--by", by).output


def test_metrics_are_completed() -> None:
    shell = ShellComplete(cli, {}, "microservo", "_MICROSERVO_COMPLETE")
    found = {each.value for each in shell.get_completions(["board", "show", "--metric"], "vus_")}
    assert found == {"vus_pr", "vus_roc"}


def test_a_scenario_that_is_not_there_is_refused_with_those_that_are(run: Run) -> None:
    refused = run("board", "show", "--scenario", "run-9")
    assert refused.exit_code == 2
    assert "no algorithm was judged in scenario 'run-9'; there are: run-1" in refused.output
    assert run("board", "show", "--scenario", "run-1/detector").exit_code == 0


def test_two_are_compared_and_a_clear_difference_is_told(run: Run) -> None:
    result = run("board", "compare", "good", "random", "--metric", "auc_pr")
    (line,) = [each for each in result.output.splitlines() if "AUC-PR" in each]
    assert "good@1" in line
    assert "clear" in line
    assert run("board", "compare", "good", "nobody").exit_code == 2


def test_medals_go_to_who_is_above_all_controls(run: Run) -> None:
    result = run("board", "medals")
    (line,) = [each for each in result.output.splitlines() if "good" in each]
    assert line.split()[3] == "3"
    assert "random" not in result.output


def test_a_board_is_written_in_each_format_and_read_again(run: Run, tmp_path: Path) -> None:
    page = tmp_path / "board.html"
    assert run("board", "export", "--format", "html", "--out", str(page)).exit_code == 0
    assert page.read_text("utf-8").startswith("<!doctype html>")
    assert run("board", "export", "--format", "csv").output.count("\n") == 3
    assert json.loads(run("board", "export", "--format", "json").output)[0]["scenario"] == "run-1/detector"
    kept = tmp_path / "kept.json"
    kept.write_text(run("board", "show", "--json").output, "utf-8")
    assert run("board", "show", "--file", str(kept)).output == run("board", "show").output
    kept.write_text("{}", "utf-8")
    assert "can't be read" in run("board", "show", "--file", str(kept)).output


def test_the_client_sees_the_same(broker: MemoryBroker) -> None:
    client = Client(broker=broker)
    (board,) = client.board.show()
    assert [row.name for row in board.rows] == ["good@1", "random@1"]
    assert client.board.compare("good", "random", metrics=("auc_pr",))[0].better == "good@1"
    assert client.board.medals()[0].gold == 3
    assert client.board.export("csv").startswith("scenario,")
