"""Ending a system that another process runs: a program stands for `microservo up` here."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner, Result

from microservo.cli.root import cli
from microservo.supervision.system_file import SystemFile, write_system

ENDS = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("runs", flush=True)
signal.pause()
"""
STAYS = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("runs", flush=True)
while True:
    signal.pause()
"""


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICROSERVO_HOME", str(tmp_path))


@pytest.fixture
def running(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """A system called lab, whose process does what the program says."""
    argv = [sys.executable, "-c", request.param]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "runs\n"
            write_system(system(process.pid, psutil.Process(process.pid).create_time()))
            yield process
        finally:
            process.kill()


def system(pid: int, created_at_s: float) -> SystemFile:
    return SystemFile(
        name="lab",
        bootstrap_servers="127.0.0.1:9092",
        topic_prefix="",
        run_id="run-7",
        pid=pid,
        created_at_s=created_at_s,
        target_state="target.json",
        otlp_url="http://127.0.0.1:4318",
        log_dir="logs",
    )


def down(*options: str) -> Result:
    return CliRunner().invoke(cli, ["down", "--name", "lab", *options])


@pytest.mark.parametrize("running", [ENDS], indirect=True)
def test_a_system_that_runs_is_ended_in_order(running: subprocess.Popen[str]) -> None:
    ended = down()
    assert (ended.exit_code, ended.output) == (0, "run-7 has ended, with all that it started\n")
    assert running.wait(30) == 0


@pytest.mark.parametrize("running", [STAYS], indirect=True)
def test_one_that_does_not_end_in_time_is_said(running: subprocess.Popen[str]) -> None:
    ended = down("--timeout", "1s")
    assert ended.exit_code == 3
    assert "has not ended within 1 s" in ended.output
    assert running.poll() is None


def test_where_no_system_runs_that_is_said() -> None:
    ended = down()
    assert ended.exit_code == 3
    assert "no system called 'lab' runs" in ended.output


@pytest.mark.parametrize("running", [ENDS], indirect=True)
def test_a_process_that_has_got_the_pid_since_is_left_alone(running: subprocess.Popen[str]) -> None:
    write_system(system(running.pid, psutil.Process(running.pid).create_time() - 60))
    assert down().exit_code == 3
    assert running.poll() is None
    running.send_signal(signal.SIGTERM)
