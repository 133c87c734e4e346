"""Process and host metrics as rows."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from otlp_requests import T0_US

from microservo.domain.rows import MetricRows
from microservo.errors import InvalidInput
from microservo.testing import ManualClock, eventually
from services.telemetry_collector.sampling import Sampler, Ticker, next_due
from services.telemetry_collector.target import read_target

Instance = dict[str, object]


def write_target(path: Path, *instances: Instance) -> Path:
    path.write_text(json.dumps({"topology": "t", "instances": list(instances)}))
    return path


def instance(pid: int | None, name: str = "cart-0", service: str = "cart") -> Instance:
    return {"id": name, "service": service, "pid": pid, "started_at_us": int(time.time() * 1e6)}


def values(rows: list[MetricRows], service: str, name: str) -> dict[str, float]:
    """The metrics of one instance in a sample."""
    return {
        each.name.names[code]: value
        for each in rows
        if (each.service, each.instance) == (service, name)
        for code, value in zip(each.name.codes.tolist(), each.value.tolist(), strict=True)
    }


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as process:
        yield process
        process.kill()


def test_every_instance_service_and_the_host_have_rows(
    tmp_path: Path, child: subprocess.Popen[bytes]
) -> None:
    state = write_target(tmp_path / "target.json", instance(child.pid), instance(None, "ad-0", "ad"))
    rows = Sampler(state, ManualClock(T0_US)).sample()
    assert {(each.service, each.instance) for each in rows} == {
        ("cart", "cart-0"),
        ("cart", ""),
        ("ad", ""),
        ("host", ""),
    }
    assert {at_us for each in rows for at_us in each.time_us.tolist()} == {T0_US}
    assert values(rows, "cart", "") == {"service.instances.running": 1, "process.restarts": 0}
    assert values(rows, "ad", "") == {"service.instances.running": 0, "process.restarts": 0}
    assert values(rows, "cart", "cart-0")["process.memory.usage"] > 0
    assert 0 <= values(rows, "host", "")["system.cpu.utilization"] <= 1


def test_a_second_sample_has_rates(tmp_path: Path) -> None:
    sampler = Sampler(write_target(tmp_path / "target.json", instance(os.getpid())), ManualClock(T0_US))
    first = values(sampler.sample(), "cart", "cart-0")
    second = values(sampler.sample(), "cart", "cart-0")
    assert set(second) - set(first) == {"process.cpu.utilization", "process.context_switches"}


def test_a_paused_process_is_read(tmp_path: Path, child: subprocess.Popen[bytes]) -> None:
    sampler = Sampler(write_target(tmp_path / "target.json", instance(child.pid)), ManualClock(T0_US))
    sampler.sample()
    child.send_signal(signal.SIGSTOP)
    rows = sampler.sample()
    assert "process.cpu.utilization" in values(rows, "cart", "cart-0")
    assert values(rows, "cart", "")["service.instances.running"] == 1


def test_a_killed_process_is_down_before_and_after_it_is_reaped(
    tmp_path: Path, child: subprocess.Popen[bytes]
) -> None:
    sampler = Sampler(write_target(tmp_path / "target.json", instance(child.pid)), ManualClock(T0_US))
    child.kill()
    for reap in (False, True):
        if reap:
            child.wait()

        def is_down() -> bool:
            rows = sampler.sample()
            running = values(rows, "cart", "")["service.instances.running"]
            return running == 0 and values(rows, "cart", "cart-0") == {}

        eventually(is_down, what="the process gone")


def test_a_process_that_only_got_the_pid_is_not_read(tmp_path: Path) -> None:
    stale = instance(os.getpid()) | {"started_at_us": 1}
    rows = Sampler(write_target(tmp_path / "target.json", stale), ManualClock(T0_US)).sample()
    assert values(rows, "cart", "")["service.instances.running"] == 0


def test_coming_back_as_another_process_is_a_restart(tmp_path: Path, child: subprocess.Popen[bytes]) -> None:
    state = tmp_path / "target.json"
    sampler = Sampler(write_target(state, instance(os.getpid())), ManualClock(T0_US))
    counts = []
    for pid in (os.getpid(), None, child.pid, child.pid):
        if pid != os.getpid():
            write_target(state, instance(pid) | {"started_at_us": 2 * 10**15})
        counts.append(values(sampler.sample(), "cart", "")["process.restarts"])
    assert counts == [0, 0, 1, 1]


def test_without_a_target_there_is_the_host_alone(tmp_path: Path) -> None:
    assert [rows.service for rows in Sampler(None, ManualClock()).sample()] == ["host"]
    assert [rows.service for rows in Sampler(tmp_path / "none", ManualClock()).sample()] == ["host"]


def test_an_unreadable_state_file_leaves_the_instances_as_they_were(tmp_path: Path) -> None:
    state = write_target(tmp_path / "target.json", instance(os.getpid()))
    sampler = Sampler(state, ManualClock())
    sampler.sample()
    state.write_text("{")
    assert values(sampler.sample(), "cart", "")["service.instances.running"] == 1
    with pytest.raises(InvalidInput, match="can't be read"):
        read_target(state)


@settings(deadline=None)
@given(st.floats(0, 1e6), st.floats(0, 1e3), st.floats(0.1, 10))
def test_the_next_due_time_is_ahead_and_on_the_grid(due_s: float, behind_s: float, interval_s: float) -> None:
    later_s = next_due(due_s, due_s + behind_s, interval_s)
    assert later_s >= due_s + behind_s - 1e-6
    assert later_s - (due_s + behind_s) <= interval_s + 1e-6
    steps = (later_s - due_s) / interval_s
    assert steps == pytest.approx(round(steps), abs=1e-4)


def test_a_ticker_goes_on_after_a_failure() -> None:
    enough = threading.Event()
    calls: list[int] = []

    def act() -> None:
        calls.append(1)
        if len(calls) == 1:
            msg = "the first one fails"
            raise ValueError(msg)
        enough.set()

    ticker = Ticker(act, 0.01)
    assert enough.wait(30)
    ticker.close()
