"""Process and host metrics as rows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from otlp_requests import T0_US
from target_states import local_instance, target_state

from microservo.domain.rows import MetricRows
from microservo.platforms.local.platform import LocalPlatform
from microservo.platforms.local.state import write_state
from microservo.sources.host.sampler import Sampler
from microservo.testing import ManualClock, eventually


def write(state: Path, pids: Mapping[str, int | None], started_at_us: int = 2 * 10**15) -> None:
    """Describes a target with one instance of each service."""
    instances = [
        local_instance(f"{service}-0", pid=pid, started_at_us=started_at_us) for service, pid in pids.items()
    ]
    write_state(state, target_state(*instances))


def sampler_of(state: Path, **pids: int | None) -> Sampler:
    """A sampler of a local target with these processes."""
    write(state, pids)
    return Sampler(LocalPlatform(state), ManualClock(T0_US))


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
    rows = sampler_of(tmp_path / "target.json", cart=child.pid, ad=None).sample()
    assert {(each.service, each.instance) for each in rows} == {
        ("cart", "cart-0"),
        ("cart", ""),
        ("ad", ""),
        ("host", ""),
    }
    assert {at_us for each in rows for at_us in each.time_us.tolist()} == {T0_US}
    whole = {"process.restarts": 0, "service.downtime": 0}
    assert values(rows, "cart", "") == {"service.instances.running": 1, **whole}
    assert values(rows, "ad", "") == {"service.instances.running": 0, **whole}
    assert values(rows, "cart", "cart-0")["process.memory.usage"] > 0
    assert 0 <= values(rows, "host", "")["system.cpu.utilization"] <= 1


def test_a_second_sample_has_rates(tmp_path: Path) -> None:
    sampler = sampler_of(tmp_path / "target.json", cart=os.getpid())
    first = values(sampler.sample(), "cart", "cart-0")
    second = values(sampler.sample(), "cart", "cart-0")
    assert set(second) - set(first) == {"process.cpu.utilization", "process.context_switches"}


def test_a_paused_process_is_read(tmp_path: Path, child: subprocess.Popen[bytes]) -> None:
    sampler = sampler_of(tmp_path / "target.json", cart=child.pid)
    sampler.sample()
    child.send_signal(signal.SIGSTOP)
    rows = sampler.sample()
    assert "process.cpu.utilization" in values(rows, "cart", "cart-0")
    assert values(rows, "cart", "")["service.instances.running"] == 1


def test_a_killed_process_is_down_before_and_after_it_is_reaped(
    tmp_path: Path, child: subprocess.Popen[bytes]
) -> None:
    sampler = sampler_of(tmp_path / "target.json", cart=child.pid)
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
    state = tmp_path / "target.json"
    sampler = sampler_of(state)
    write(state, {"cart": os.getpid()}, 1)
    assert values(sampler.sample(), "cart", "")["service.instances.running"] == 0


def test_coming_back_as_another_process_is_a_restart(tmp_path: Path, child: subprocess.Popen[bytes]) -> None:
    state = tmp_path / "target.json"
    sampler = sampler_of(state)
    first, second = 2 * 10**15, 3 * 10**15
    counts = []
    for pid, started_at_us in ((os.getpid(), first), (None, first), (child.pid, second), (child.pid, second)):
        write(state, {"cart": pid}, started_at_us)
        counts.append(values(sampler.sample(), "cart", "")["process.restarts"])
    assert counts == [0, 0, 1, 0], "in the second in which it was started, and never again"


def test_downtime_is_told_to_the_microsecond_however_short_it_was(tmp_path: Path) -> None:
    state, clock = tmp_path / "target.json", ManualClock(T0_US)
    sampler = Sampler(LocalPlatform(state), clock)

    def told(*, pid: int | None, started_us: int, ended_us: int) -> float:
        """At the next full second, with the instance's times in microseconds of the test."""
        cart = local_instance(
            "cart-0", pid=pid, started_at_us=T0_US + started_us, ended_at_us=T0_US + ended_us
        )
        write_state(state, target_state(cart))
        clock.advance(1_000_000)
        return values(sampler.sample(), "cart", "")["service.downtime"]

    assert told(pid=1, started_us=-500_000, ended_us=-900_000) == 0, "it was before anybody looked"
    assert told(pid=1, started_us=1_725_000, ended_us=1_500_000) == 0.225
    assert told(pid=None, started_us=1_725_000, ended_us=2_900_000) == pytest.approx(0.1)
    assert told(pid=None, started_us=1_725_000, ended_us=2_900_000) == 1.0
    assert told(pid=1, started_us=4_250_000, ended_us=2_900_000) == 0.25
    assert told(pid=1, started_us=4_250_000, ended_us=2_900_000) == 0


def test_without_a_target_there_is_the_host_alone(tmp_path: Path) -> None:
    nothing = LocalPlatform(tmp_path / "none")
    assert [rows.service for rows in Sampler(None, ManualClock()).sample()] == ["host"]
    assert [rows.service for rows in Sampler(nothing, ManualClock()).sample()] == ["host"]


def test_a_target_that_cannot_be_read_leaves_the_host(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = tmp_path / "target.json"
    sampler = sampler_of(state, cart=os.getpid())
    state.write_text("{")
    assert [rows.service for rows in sampler.sample()] == ["host"]
    assert "the target can't be measured now" in caplog.text
