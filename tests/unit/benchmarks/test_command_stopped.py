from __future__ import annotations

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import argparse, time
from benchmarks.command import run

def measure(folder, given):
    try:
        print("begun", flush=True)
        time.sleep(60)
    finally:
        print("what it started is ended", flush=True)

run(argparse.ArgumentParser(), measure, name="stopped", title="Stopped")
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_benchmark_that_is_told_to_stop_ends_what_it_has_started(number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(number)
        assert process.stdout.read() == "what it started is ended\n"
        assert process.wait(30) != 0
