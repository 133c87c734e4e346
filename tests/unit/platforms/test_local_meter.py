"""What processes use, with their children."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from microservo.platforms.local.meter import ProcessMeter, Wanted
from microservo.testing import eventually

MIB = 1024 * 1024
# A parent that idles, with a child that burns a core and holds memory.
PARENT = """
import subprocess, sys, signal
child = subprocess.Popen([sys.executable, "-c", "x = bytearray(b'x' * 64 * 2**20)\\nwhile True: pass"])
signal.signal(signal.SIGTERM, lambda *_: (child.kill(), sys.exit()))
signal.pause()
"""


@pytest.fixture
def parent() -> Iterator[Wanted]:
    with subprocess.Popen([sys.executable, "-c", PARENT]) as process:
        yield Wanted(pid=process.pid, started_at_us=int(time.time() * 1e6))
        process.terminate()


def test_cpu_and_memory_include_children(parent: Wanted) -> None:
    meter = ProcessMeter(time.monotonic)

    def both_seen() -> bool:
        found = meter.read({"p": parent})["p"]
        return found.get("process.cpu.utilization", 0) > 0.05 and found["process.memory.usage"] > 64 * MIB

    eventually(both_seen, interval_s=0.3, what="the child's CPU and memory")
    assert meter.read({"p": parent})["p"]["process.threads"] == 1


def test_a_child_that_has_ended_since_the_last_reading_still_counts() -> None:
    times = iter([0.0, 1.0])
    meter = ProcessMeter(lambda: next(times))
    me = {"me": Wanted(pid=os.getpid(), started_at_us=2**52)}
    meter.read(me)
    burn = "import time\nwhile time.process_time() < 0.5: pass"
    subprocess.run([sys.executable, "-c", burn], check=True)
    assert meter.read(me)["me"]["process.cpu.utilization"] > 0.4


def test_what_children_share_with_others_is_no_memory_of_theirs() -> None:
    meter = ProcessMeter(time.monotonic)
    me = {"me": Wanted(pid=os.getpid(), started_at_us=2**52)}
    alone = meter.read(me)["me"]["process.memory.usage"]
    with subprocess.Popen(["/bin/sh", "-c", "read line"], stdin=subprocess.PIPE) as child:
        assert meter.read(me)["me"]["process.memory.usage"] - alone < MIB
        child.kill()


def test_who_does_not_run_is_not_in_the_answer() -> None:
    meter = ProcessMeter(time.monotonic)
    nobody = Wanted(pid=2**22 - 1, started_at_us=2**52)
    me = Wanted(pid=os.getpid(), started_at_us=2**52)
    assert set(meter.read({"gone": nobody, "me": me})) == {"me"}


def test_rates_are_over_the_time_between_readings() -> None:
    times = iter([0.0, 2.0])
    meter = ProcessMeter(lambda: next(times))
    me = {"me": Wanted(pid=os.getpid(), started_at_us=2**52)}
    assert "process.cpu.utilization" not in meter.read(me)["me"]
    before_s = time.process_time()
    while time.process_time() < before_s + 0.2:
        pass
    assert 0.05 < meter.read(me)["me"]["process.cpu.utilization"] < 5
