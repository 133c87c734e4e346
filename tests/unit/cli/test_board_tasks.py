"""Evaluation tasks on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import Result
from evaluated_run import deployment, experiment, start_us

from microservo.cli.root import cli
from microservo.log.run_records import write_run
from microservo.testing import MemoryBroker

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def _a_run(broker: MemoryBroker, put: Callable[..., None]) -> None:
    """A run, and what is deployed."""
    write_run(broker, experiment(), process="system", clock=lambda: start_us(0))
    put("algorithms", "good", deployment("good"))


def begin(run: Run, *options: str) -> str:
    result = run("algorithm", "evaluate", "good", "--run", "run-1", "--background", *options)
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def shown(run: Run, task_id: str) -> dict[str, object]:
    return dict(json.loads(run("board", "tasks", "show", task_id).stdout))


def test_a_task_is_begun_in_the_background_and_listed(run: Run) -> None:
    assert "there are none" in run("board", "tasks", "list").stdout
    task_id = begin(run, "--from", "2026-01-31T12:01:00Z", "--to", "2026-01-31T12:10:00Z")
    assert task_id.startswith("good-")
    (line,) = [each for each in run("board", "tasks", "list").stdout.splitlines() if task_id in each]
    assert "waiting" in line
    assert "good@1" in line
    found = shown(run, task_id)
    assert (found["run_id"], found["from_us"]) == ("run-1", start_us(12))
    (listed,) = run("board", "tasks", "list", "--json").stdout.splitlines()
    assert json.loads(listed) == found


def test_a_task_waits_for_its_time(run: Run) -> None:
    task_id = begin(run, "--at", "2099-01-01T00:00:00Z")
    assert shown(run, task_id)["state"] == "scheduled"


def test_a_task_is_paused_resumed_interrupted_and_rerun(run: Run) -> None:
    task_id = begin(run)
    for change, state in (
        ("pause", "paused"),
        ("resume", "waiting"),
        ("interrupt", "interrupted"),
        ("rerun", "waiting"),
    ):
        result = run("board", "tasks", change, task_id)
        assert (result.exit_code, result.output) == (0, "")
        assert shown(run, task_id)["state"] == state
    assert shown(run, task_id)["round"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("board", "tasks", "pause", "x"), "there is no evaluation task 'x'; the newest are: none yet"),
        (("algorithm", "evaluate", "n-sigma", "--run", "run-1", "--background"), "no algorithm 'n-sigma' is"),
        (("algorithm", "evaluate", "good", "--dataset", "d", "--background"), "--dataset can't go with --at"),
        (
            ("algorithm", "evaluate", "good", "--param", "a=1", "--at", "now"),
            "what it declares can't go with",
        ),
    ],
)
def test_what_can_not_be_is_refused_with_the_way_out(
    run: Run, arguments: tuple[str, ...], message: str
) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_shell_completes_the_tasks_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICROSERVO_HOME", str(tmp_path))
    (tmp_path / "systems" / "default" / "tasks" / "good-1").mkdir(parents=True)
    completer = ShellComplete(cli, {}, "microservo", "_MICROSERVO_COMPLETE")
    for change in ("show", "pause", "resume", "interrupt", "rerun"):
        found = completer.get_completions(["board", "tasks", change], "g")
        assert [each.value for each in found] == ["good-1"]
