from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.shell_completion import ShellComplete
from click.testing import Result

from microservo.algorithms.trial import Trial
from microservo.application import table
from microservo.application.algorithm_checks import CheckAlgorithm, TryAlgorithm
from microservo.application.algorithm_progress import WaitForAlgorithm
from microservo.cli.root import cli
from microservo.client import Client
from microservo.testing import MemoryBroker
from schemas.catalogue import ALGORITHM_STATES
from schemas.codec import decode_as
from schemas.examples import example_bytes
from schemas.records import AlgorithmDeployment, AlgorithmState

Run = Callable[..., Result]
HALF_SPACE = ("algorithm", "deploy", "river.anomaly:HalfSpaceTrees", "--requires", "river==0.26.1")


def deployed(broker: MemoryBroker) -> dict[str, AlgorithmDeployment]:
    found = Client(broker=broker).algorithms.list()
    return {each.deployment.algorithm: each.deployment for each in found}


def declaration(run: Run, *options: str) -> dict[str, Any]:
    result = run(*HALF_SPACE, *options)
    assert result.exit_code == 0, result.output
    result = run("algorithm", "show", "half-space-trees")
    return dict(json.loads(result.stdout)["declaration"])


def test_a_transformer_may_have_arguments(run: Run) -> None:
    found = declaration(
        run, "--pre", "river.preprocessing:MinMaxScaler", "--pre", "river.misc:Thing,size=5, how=fast"
    )
    assert found["pre"] == [
        {"object": "river.preprocessing:MinMaxScaler", "params": {}},
        {"object": "river.misc:Thing", "params": {"size": 5, "how": "fast"}},
    ]


def test_parameters_are_json_where_they_can_be(run: Run) -> None:
    found = declaration(
        run, "--param", "n_trees=5", "--param", "deep=true", "--param", "limits=[0, 1]", "--param", "name=a b"
    )
    assert found["params"] == {"n_trees": 5, "deep": True, "limits": [0, 1], "name": "a b"}


def test_a_seed_of_0_is_a_seed(run: Run) -> None:
    assert declaration(run, "--seed", "0", "--signals", "logs, traces")["signals"] == ["logs", "traces"]


def test_whatever_a_declaration_may_say_can_be_said_by_an_option(run: Run) -> None:
    found = declaration(
        run,
        *("--task", "detector", "--only", "request/*", "--only", "log/*", "--features", "raw"),
        *("--kinds", "service, host", "--sign", "-1", "--batch", "warm_up=64", "--batch", "refit=8"),
        *("--disk", "1M", "--deadline", "0.5"),
    )
    said = {key: found[key] for key in ("only", "features", "kinds", "sign", "batch", "disk", "deadline")}
    assert said == {
        "only": ["request/*", "log/*"],
        "features": "raw",
        "kinds": ["service", "host"],
        "sign": -1,
        "batch": {"warm_up": 64, "refit": 8},
        "disk": 1 << 20,
        "deadline": 0.5,
    }


def test_an_object_of_a_library_may_be_a_ranker(run: Run) -> None:
    result = run("algorithm", "deploy", "fse_baro:robust_scorer", "--task", "ranker")
    assert result.exit_code == 0, result.output
    shown = json.loads(run("algorithm", "show", "robust-scorer").stdout)
    assert (shown["deployment"]["task"], shown["declaration"]["deadline"]) == ("ranker", 10.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--param", "n_trees"), "--param 'n_trees' is no pair; write NAME=VALUE, for example top_k=5"),
        (("--pre", "a:b,size"), "--pre 'size' is no pair; write NAME=VALUE"),
        (("--param", "n=1", "--param", "n=2"), "--param n was given twice"),
        (("--pre", "scaler"), "object 'scaler'; expected module:name"),
        (("--signals", "metric"), "metric"),
        (("--batch", "size=7"), "expected some of warm_up, refit, buffer"),
        (("--batch", "refit=often"), "expected whole numbers of windows"),
        (("--threshold", "nan"), "threshold nan; expected a finite score"),
        (("--only", ""), "only ''"),
    ],
)
def test_what_can_not_be_declared_is_refused_before_anything_is_sent(
    run: Run, broker: MemoryBroker, options: tuple[str, ...], message: str
) -> None:
    result = run(*HALF_SPACE, *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert deployed(broker) == {}


def a_state(phase: str, **changes: Any) -> AlgorithmState:
    example = decode_as(AlgorithmState, next(iter(example_bytes()["algorithm_state", 1].values())))
    now_us = time.time_ns() // 1000
    fields: dict[str, Any] = {
        "deployment_id": "n-sigma@1",
        "algorithm": "n-sigma",
        "algorithm_version": 1,
        "phase": phase,
        "updated_at_us": 2 * now_us,
    }
    return replace(example, **{**fields, **changes})


def test_waiting_ends_with_how_long_the_first_score_took(run: Run, put: Callable[..., None]) -> None:
    run("algorithm", "deploy", "n-sigma")
    first_us = 1_800_000_000_000_000 + 3_200_000
    put(
        ALGORITHM_STATES,
        "n-sigma@1",
        a_state("running", first_score_at_us=first_us, latency_p50_us=35_000, reason=""),
    )
    result = run("algorithm", "deploy", "n-sigma", "--if-missing", "--wait")
    assert result.exit_code == 0, result.output
    assert result.stdout == "n-sigma@1\n", "what is printed is for programs"
    assert "n-sigma: first score 3.2 s after it was deployed, now each in 35 ms" in result.stderr


def test_the_list_says_how_much_of_the_run_an_algorithm_has_learned(
    run: Run, put: Callable[..., None]
) -> None:
    run("algorithm", "deploy", "n-sigma")
    learning = a_state("learning", reason="", learned_windows=1200, windows_to_learn=5000)
    put(ALGORITHM_STATES, "n-sigma@1", learning)
    assert "learning, 1,200 of 5,000 windows" in run("algorithm", "list").stdout
    put(ALGORITHM_STATES, "n-sigma@1", replace(learning, phase="running"))
    listed = run("algorithm", "list").stdout
    assert ("running" in listed, "1,200" in listed) == (True, False)


def test_a_failure_while_waiting_is_an_error_with_its_reason(run: Run, put: Callable[..., None]) -> None:
    run("algorithm", "deploy", "n-sigma")
    put(ALGORITHM_STATES, "n-sigma@1", a_state("failed", reason="its sign is \x1b[31mwrong"))
    result = run("algorithm", "deploy", "n-sigma", "--if-missing", "--wait")
    assert result.exit_code == 1
    assert r"n-sigma@1 is failed: its sign is \x1b[31mwrong" in result.stderr
    assert "\x1b" not in result.stderr


def test_ctrl_c_stops_only_the_waiting(
    run: Run, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(table.HANDLERS, WaitForAlgorithm, interrupt)
    result = run("algorithm", "deploy", "n-sigma", "--wait")
    assert result.exit_code == 130
    assert "no longer waited for; it goes on" in result.stderr
    assert deployed(broker)["n-sigma"].is_wanted


def test_logs_of_others_can_not_draw_on_the_terminal(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "mine@1"
    folder.mkdir()
    (folder / "algorithm.log").write_text("\x1b[2Jgone\n")
    (folder / "host.log").write_text(
        '{"ts": "2026-01-31T12:30:00.123+00:00", "level": "ERROR", "message": "it broke \\u001b[31m",'
        ' "exception": "Traceback\\nValueError"}\n{"half a docu'
    )
    result = run("algorithm", "logs", "mine", "--folder", str(tmp_path))
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        r"host      12:30:00 ERROR it broke \x1b[31m",
        "host      Traceback",
        "host      ValueError",
        r"algorithm \x1b[2Jgone",
        'host      {"half a docu',
    ]
    result = run("algorithm", "logs", "mine", "--folder", str(tmp_path), "--json")
    assert r'{"source": "algorithm", "text": "\u001b[2Jgone"}' in result.stdout


def test_a_check_ends_with_what_it_would_get_beside_others(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"auc_pr": 0.51234, "false_alarms_per_hour": float("nan")}
    trials = {"mine.py": Trial(values=values, asked=1199, not_ready=66, cpu_us=110.0)}
    monkeypatch.setitem(table.HANDLERS, CheckAlgorithm, lambda *_: ())
    monkeypatch.setitem(table.HANDLERS, TryAlgorithm, lambda *_: trials)
    result = run("algorithm", "check", "mine.py")
    assert result.exit_code == 0, result.output
    heads, row = (line for line in result.stdout.splitlines() if "AUC-PR" in line or "mine.py" in line)
    assert [each.strip() for each in heads.strip("┃").split("┃")] == [
        *("on the sample", "AUC-PR", "False alarms/h", "asked", "no answer", "CPU each")
    ]
    assert [each.strip() for each in row.strip("│").split("│")] == [
        *("mine.py", "0.512", "-", "1199", "66", "0.11 ms")
    ]


def completed(*words: str) -> set[str]:
    shell = ShellComplete(cli, {}, "microservo", "_MICROSERVO_COMPLETE")
    return {each.value for each in shell.get_completions(list(words[:-1]), words[-1]) if each.type == "plain"}


def test_kinds_are_completed() -> None:
    assert completed("algorithm", "deploy", "ra") == {
        "random",
        "random-classifier",
        "random-ranker",
        "random-walk",
    }
    assert completed("algorithm", "kinds", "half") == {"half-space-trees"}


def test_names_of_what_ran_here_are_completed_without_asking_a_broker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("mine@1", "mine@2", "other@1", "no-version"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("MICROSERVO_ALGORITHMS_FOLDER", str(tmp_path))
    assert completed("algorithm", "stop", "") == {"mine", "other"}
    assert completed("algorithm", "logs", "mi") == {"mine"}


def test_without_a_system_nothing_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICROSERVO_HOME", str(tmp_path))
    assert completed("algorithm", "stop", "") == set()
