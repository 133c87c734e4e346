from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import click
import psutil
import pytest
from click.testing import CliRunner, Result

from microservo.application.command import Context
from microservo.application.connection import Connection
from microservo.application.machine import CheckMachine
from microservo.application.table import execute
from microservo.cli.root import cli
from microservo.errors import InvalidInput
from microservo.runtime.health import HealthServer
from microservo.runtime.metrics import DEAD_LETTERS_TOTAL
from microservo.supervision.system_file import SystemFile, write_system
from microservo.system import EmbeddedSystem
from microservo.system.claim import claimed
from schemas.catalogue import catalogue

Run = Callable[..., Result]


def every_command(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        ctx = click.Context(command)
        for name in command.list_commands(ctx):
            found = command.get_command(ctx, name)
            assert found is not None
            yield from every_command(found, (*path, name))


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICROSERVO_HOME", str(tmp_path))
    monkeypatch.delenv("MICROSERVO_BOOTSTRAP_SERVERS", raising=False)


@pytest.mark.parametrize("path", list(every_command(cli)), ids=" ".join)
def test_every_command_explains_itself(path: Sequence[str]) -> None:
    result = CliRunner().invoke(cli, [*path, "--help"])
    assert result.exit_code == 0
    assert "Usage: microservo" in result.stdout
    # A page must fit a terminal without being broken by hand.
    assert "\b" not in result.stdout
    assert any(word in result.stdout for word in ("Example", "A first look", "To use it"))


def test_the_exit_codes_are_documented() -> None:
    text = CliRunner().invoke(cli, ["--help"]).stdout
    assert all(code in text for code in ("0 done", "1 failed", "2 refused", "3 something", "130 interrupted"))


def test_without_a_system_commands_say_how_to_start_one() -> None:
    result = CliRunner().invoke(cli, ["runs", "list"])
    assert result.exit_code == 3
    assert result.stderr == (
        "error: no running system; start one with `microservo up` or give --bootstrap-servers\n"
    )


def test_verbose_adds_the_traceback() -> None:
    assert "Traceback" in CliRunner().invoke(cli, ["--verbose", "runs", "list"]).stderr


def test_a_misspelt_command_is_a_usage_error() -> None:
    result = CliRunner().invoke(cli, ["fualt"])
    assert (result.exit_code, "microservo --help" in result.stderr) == (2, True)


def test_topics_are_listed_described_and_made(run: Run) -> None:
    assert "labelled-windows" in run("topics", "list").stdout
    description = run("topics", "describe", "service-faults").stdout
    assert "service-faults-dlq" in description
    assert "every message is stamped" in description
    assert len(run("topics", "describe").stdout.split("\n\n")) == len(catalogue())
    assert run("topics", "describe", "nothing").exit_code == 2
    assert run("topics", "ensure", "--partitions", "2").stdout == "all topics are there\n"
    other = run("topics", "ensure", "--partitions", "3")
    assert (other.exit_code, other.stderr.startswith("error: ")) == (2, True)


def test_no_runs_yet_says_what_makes_one(run: Run) -> None:
    assert "microservo demo" in run("runs", "list").stdout
    latest = run("dataset", "rebuild", "--out", "nowhere")
    assert (latest.exit_code, "there is no run yet" in latest.stderr) == (2, True)


def test_a_folder_that_is_no_dataset_is_refused(run: Run, tmp_path: Path) -> None:
    assert run("dataset", "verify", str(tmp_path)).exit_code == 2
    assert run("dataset", "hash", str(tmp_path)).exit_code == 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_the_command(shell: str) -> None:
    result = CliRunner().invoke(cli, ["completion", shell])
    assert (result.exit_code, "_MICROSERVO_COMPLETE" in result.stdout) == (0, True)


def test_the_doctor_looks_at_what_matters() -> None:
    findings = {each.what: each for each in execute(CheckMachine(), Context(_no_connection))}
    assert {"Python", "processor cores", "free memory", "Java runtime", "embedded broker"} <= set(findings)
    assert {"fence for algorithms", "environments of algorithms"} <= set(findings)
    assert findings["Python"].fine
    assert all(each.fine or each.advice for each in findings.values())


def test_the_doctor_says_why_there_is_no_fence_and_what_environments_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MICROSERVO_HOME", str(tmp_path))
    monkeypatch.setattr(
        "microservo.supervision.fence.fence_report", lambda: (False, "user namespaces are off")
    )
    for name, size_bytes in (("a", 3 << 20), ("b", 4 << 20)):
        (tmp_path / "environments" / name).mkdir(parents=True)
        (tmp_path / "environments" / name / "environment.json").write_text(f'{{"bytes": {size_bytes}}}')
    (tmp_path / "environments" / "unfinished").mkdir()
    findings = {each.what: each for each in execute(CheckMachine(), Context(_no_connection))}
    fence, environments = findings["fence for algorithms"], findings["environments of algorithms"]
    assert not fence.fine
    assert "user namespaces are off" in fence.advice
    assert environments.found == f"2, 7 MiB in {tmp_path / 'environments'}"


def test_the_doctor_says_what_a_running_system_refused() -> None:
    letters = DEAD_LETTERS_TOTAL.labels("telemetry-logs", "record has no time")
    letters.inc(1_000_000)
    with HealthServer(0, lambda: True) as collector:
        _write_running("blue", {"telemetry-collector": collector.port})
        findings = {each.what: each for each in execute(CheckMachine(), Context(_no_connection))}
    finding = findings["refused telemetry of blue"]
    count = int(letters._value.get())
    assert f"{count} dead letters: record has no time (telemetry-logs)" in finding.found
    assert not finding.fine
    assert "telemetry-collector.log" in finding.advice


def test_the_doctor_waits_for_no_system_that_does_not_answer() -> None:
    _write_running("blue")
    findings = {each.what: each for each in execute(CheckMachine(), Context(_no_connection))}
    assert (findings["refused telemetry of blue"].found, findings["refused telemetry of blue"].fine) == (
        "none",
        True,
    )


def _no_connection() -> Connection:
    pytest.fail("the doctor needs no broker")


@pytest.mark.parametrize("command", ["up", "demo"])
def test_a_name_that_is_taken_is_refused_with_the_way_out(command: str) -> None:
    _write_running("blue")
    with claimed("blue"):
        result = CliRunner().invoke(cli, [command, "--name", "blue"])
    assert result.exit_code == 2
    assert "--name other" in result.stderr
    assert "run run-1" in result.stderr


def test_two_names_at_once_are_refused() -> None:
    result = CliRunner().invoke(cli, ["--system", "blue", "up", "--name", "green"])
    assert (result.exit_code, "differ" in result.stderr) == (2, True)


def test_a_folder_in_use_is_refused_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine", "utf-8")
    result = CliRunner().invoke(cli, ["demo", "--out", str(tmp_path)])
    assert (result.exit_code, "is not empty" in result.stderr) == (2, True)
    file = tmp_path / "precious.txt"
    for place, complaint in ((file, "is a file"), (file / "dataset", "Not a directory")):
        result = CliRunner().invoke(cli, ["demo", "--out", str(place)])
        assert (result.exit_code, complaint in result.stderr, result.stdout) == (2, True, "")
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def _write_running(name: str, ports: Mapping[str, int] | None = None) -> None:
    write_system(
        SystemFile(
            name=name,
            bootstrap_servers="127.0.0.1:1",
            topic_prefix="",
            run_id="run-1",
            pid=os.getpid(),
            created_at_s=psutil.Process().create_time(),
            target_state="",
            otlp_url="",
            log_dir="",
            ports=ports or {},
        )
    )


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("jshop", "'jshop' is no delay of a service; write one like jshop=5s"),
        ("=5s", "'=5s' is no delay of a service"),
        ("jshop=5", "'jshop=5': "),
        ("jshop=61s", "'jshop=61s' is more than 60s, the longest that windows wait"),
    ],
)
def test_a_delay_that_can_not_be_is_refused(given: str, reason: str) -> None:
    result = CliRunner().invoke(cli, ["up", "--delay", given])
    assert (result.exit_code, reason in result.stderr) == (2, True), result.stderr


def test_how_long_nothing_is_injected_can_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []

    class Stopped(EmbeddedSystem):
        def start(self) -> None:
            found.append(self.options.fault_free_s)
            msg = "as far as this test goes"
            raise InvalidInput(msg)

    monkeypatch.setattr("microservo.cli.up.EmbeddedSystem", Stopped)
    for given in ((), ("--fault-free", "10m")):
        result = CliRunner().invoke(cli, ["up", *given])
        assert "as far as this test goes" in result.stderr, result.output
    assert found == [120.0, 600.0]
    result = CliRunner().invoke(cli, ["up", "--fault-free", "soon"])
    assert (result.exit_code, "soon" in result.stderr) == (2, True)
