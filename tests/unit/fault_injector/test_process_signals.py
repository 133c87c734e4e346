"""Signals to real processes, which here do nothing but wait."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import psutil
import pytest

from microservo.adapters.clock import now_us
from microservo.domain.faults.base import Wire
from microservo.errors import InvalidInput, Retryable
from microservo.platforms.local.mechanisms.process import ProcessSignals
from tests.unit.fault_injector.harness import FakeInstance

PAUSE: Wire = ("process-pause", {})
KILL: Wire = ("process-kill", {})


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.wait()
    assert process.stdin is not None
    process.stdin.close()


@pytest.fixture
def instance(child: subprocess.Popen[bytes]) -> FakeInstance:
    return FakeInstance(id="cart-0", service="cart", pid=child.pid, started_at_us=now_us())


@pytest.fixture
def signals() -> ProcessSignals:
    return ProcessSignals(now_us)


def status(child: subprocess.Popen[bytes]) -> str:
    return psutil.Process(child.pid).status()


def test_a_pause_is_confirmed_and_so_is_its_end(
    signals: ProcessSignals, instance: FakeInstance, child: subprocess.Popen[bytes]
) -> None:
    assert "is stopped" in signals.apply(instance, "f-1", PAUSE).evidence
    assert status(child) == psutil.STATUS_STOPPED
    assert signals.holds(instance, "f-1", PAUSE)
    assert "goes on" in signals.recover(instance, "f-1", PAUSE).evidence
    assert status(child) != psutil.STATUS_STOPPED
    assert not signals.holds(instance, "f-1", PAUSE)


def test_of_two_pauses_the_last_to_end_lets_go(
    signals: ProcessSignals, instance: FakeInstance, child: subprocess.Popen[bytes]
) -> None:
    signals.apply(instance, "f-1", PAUSE)
    signals.apply(instance, "f-2", PAUSE)
    assert "stays paused for f-2" in signals.recover(instance, "f-1", PAUSE).evidence
    assert status(child) == psutil.STATUS_STOPPED
    signals.recover(instance, "f-2", PAUSE)
    assert status(child) != psutil.STATUS_STOPPED


def test_a_pause_nobody_owns_is_ended(
    signals: ProcessSignals, instance: FakeInstance, child: subprocess.Popen[bytes]
) -> None:
    signals.apply(instance, "f-1", PAUSE)
    later = ProcessSignals(now_us)
    assert later.release_strangers(instance, lambda: {"f-1": "process-pause"}) == []
    assert later.release_strangers(instance, lambda: {"f-2": "cpu-hog"}) == [f"pause of process {child.pid}"]
    assert status(child) != psutil.STATUS_STOPPED
    assert later.release_strangers(instance, dict) == []


def test_a_pause_is_taken_up_by_a_later_process(
    signals: ProcessSignals, instance: FakeInstance, child: subprocess.Popen[bytes]
) -> None:
    signals.apply(instance, "f-1", PAUSE)
    later = ProcessSignals(now_us)
    assert later.holds(instance, "f-1", PAUSE)
    later.recover(instance, "f-1", PAUSE)
    assert status(child) != psutil.STATUS_STOPPED


def test_a_kill_is_confirmed_when_the_process_is_gone(
    signals: ProcessSignals, instance: FakeInstance, child: subprocess.Popen[bytes]
) -> None:
    assert signals.apply(instance, "f-1", KILL).evidence == f"process {child.pid} is gone"
    assert child.wait() == -9
    with pytest.raises(Retryable, match="not been started again"):
        signals.recover(replace(instance, pid=None), "f-1", KILL)
    with pytest.raises(Retryable, match="not been started again"):
        signals.recover(instance, "f-1", KILL)


@pytest.mark.parametrize("wire", [PAUSE, KILL])
def test_another_process_with_the_same_pid_is_never_touched(
    signals: ProcessSignals,
    instance: FakeInstance,
    child: subprocess.Popen[bytes],
    wire: Wire,
) -> None:
    earlier = replace(instance, started_at_us=now_us() - 60_000_000)
    with pytest.raises(InvalidInput, match="cart-0 is down"):
        signals.apply(earlier, "f-1", wire)
    assert child.poll() is None
    assert status(child) != psutil.STATUS_STOPPED


@pytest.mark.parametrize("wire", [PAUSE, KILL])
def test_what_is_down_can_not_be_hit(signals: ProcessSignals, instance: FakeInstance, wire: Wire) -> None:
    with pytest.raises(InvalidInput, match="cart-0 is down"):
        signals.apply(replace(instance, pid=None), "f-1", wire)


def test_a_paused_process_that_was_killed_is_recovered(
    signals: ProcessSignals, instance: FakeInstance, child: subprocess.Popen[bytes]
) -> None:
    signals.apply(instance, "f-1", PAUSE)
    child.kill()
    child.wait()
    assert signals.recover(instance, "f-1", PAUSE).evidence == "the paused process is gone"
