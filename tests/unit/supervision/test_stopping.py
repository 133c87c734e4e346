"""Ending the process that runs a system, which is no child of who ends it, or one that nobody asks after."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import psutil
import pytest

from microservo.errors import Unavailable
from microservo.supervision.stopping import stop_system
from microservo.supervision.system_file import SystemFile, is_running

STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"
WILLING = "import signal; print(flush=True); signal.pause()"


@contextmanager
def running(program: str) -> Iterator[tuple[subprocess.Popen[bytes], SystemFile]]:
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        system = SystemFile(
            name="lab",
            bootstrap_servers="127.0.0.1:1",
            topic_prefix="",
            run_id="run-1",
            pid=process.pid,
            created_at_s=psutil.Process(process.pid).create_time(),
            target_state="target.json",
            otlp_url="http://127.0.0.1:2",
            log_dir="logs",
        )
        try:
            yield process, system
        finally:
            process.kill()


def test_a_system_has_ended_though_whoever_started_it_has_not_asked_how() -> None:
    with running(WILLING) as (process, system):
        assert is_running(system)
        stop_system(system, 20)
        assert not is_running(system)
        assert process.wait(0) == -signal.SIGTERM


def test_one_that_does_not_end_in_time_is_named() -> None:
    with (
        running(STUBBORN) as (_, system),
        pytest.raises(Unavailable, match=r"'lab' has not ended within 0\.1 s"),
    ):
        stop_system(system, 0.1)


def test_a_process_that_has_got_its_number_is_left_alone() -> None:
    with running(WILLING) as (process, system):
        stop_system(replace(system, created_at_s=system.created_at_s - 60), 20)
        assert process.poll() is None
