"""What Ctrl-C does, on a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from microservo.testing import eventually

# The orderly end hangs in C code, in a lock that is never free: no Python signal handler runs there.
PROGRAM = """
import ctypes, sys, threading
from microservo.cli.signals import handled_signals, wait_for_signal

class Ready(threading.Event):
    def wait(self):
        print("ready", flush=True)
        super().wait()

def hang():
    lock, c = ctypes.create_string_buffer(64), ctypes.CDLL(None)
    c.pthread_mutex_lock(lock)
    c.pthread_mutex_lock(lock)

def kill():
    print("killed", flush=True)

def finish_run():
    if sys.argv[1] == "hangs":
        print("hanging", flush=True)
        hang()
    print("finished", flush=True)

try:
    with handled_signals(kill):
        threading.Event = Ready
        wait_for_signal(finish_run)
except KeyboardInterrupt:
    sys.exit(7)
"""
STOPPING = "stopping ... (Ctrl-C again ends everything at once)"


@contextmanager
def program(end: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", PROGRAM, end]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_stops_in_order(number: signal.Signals) -> None:
    with program("ends") as process:
        process.send_signal(number)
        said, complaint = process.communicate(timeout=60)
    assert (process.returncode, said, complaint) == (7, f"{STOPPING}\nfinished\n", "")


@pytest.mark.skipif(sys.platform != "linux", reason="only there is a lock of zeros one that can be taken")
def test_the_second_ctrl_c_ends_everything_at_once_while_the_first_one_hangs() -> None:
    with program("hangs") as process:
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == [f"{STOPPING}\n", "hanging\n"]

        def insist() -> bool:
            process.send_signal(signal.SIGINT)
            return process.poll() is not None

        # What comes within a fifth of a second is the same key.
        eventually(insist, timeout_s=30, interval_s=0.25, what="the end")
        said, complaint = process.communicate(timeout=60)
    assert (process.returncode, said, complaint) == (130, "killed\n", "\nended at once\n")


def test_a_key_that_a_wrapper_passes_on_as_well_still_stops_in_order() -> None:
    with program("ends") as process:
        for _ in range(2):
            os.kill(process.pid, signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    assert (process.returncode, said) == (7, f"{STOPPING}\nfinished\n")
