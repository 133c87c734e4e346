"""The mechanism of faults that are signals to the instance's process: SIGKILL, SIGSTOP, SIGCONT.

A signal is only sent to a process that was created when the target says the instance was: never to another
one that was given the same pid.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from time import monotonic

import psutil

from microservo.domain.faults.base import Wire
from microservo.errors import InvalidInput, Retryable
from microservo.platforms.local.mechanisms.control_api import require_healthy
from microservo.platforms.mechanism import Confirmation, Owned, TargetInstance

KILL = "process-kill"
PAUSE = "process-pause"

# psutil takes a process's age from the boot time, which the kernel tells in whole seconds.
_SAME_PROCESS_US = 5_000_000
_CONFIRM_TIMEOUT_S = 5.0
_CONFIRM_INTERVAL_S = 0.001
_HEALTH_TIMEOUT_S = 0.5


class ProcessSignals:
    """`Mechanism` by signals. A kill is over when the process that replaces the killed one is healthy.

    Args:
        clock: epoch microseconds UTC.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._pausers: dict[str, set[str]] = {}
        self._lock = threading.Lock()

    def apply(self, instance: TargetInstance, fault_id: str, wire: Wire) -> Confirmation:
        process = _process(instance)
        if process is None:
            msg = f"{instance.id} is down, so {wire[0]} can't be applied; try again when it is up"
            raise InvalidInput(msg)
        return self._kill(process) if wire[0] == KILL else self._pause(process, instance, fault_id)

    def recover(self, instance: TargetInstance, fault_id: str, wire: Wire) -> Confirmation:
        return self._replaced(instance) if wire[0] == KILL else self._resume(instance, fault_id)

    def holds(self, instance: TargetInstance, fault_id: str, wire: Wire) -> bool:
        if wire[0] == KILL:
            return _process(instance) is None
        with self._lock:
            process = _process(instance)
            if process is None or not _is_stopped(process):
                return False
            self._pausers.setdefault(instance.id, set()).add(fault_id)
            return True

    def release_strangers(self, instance: TargetInstance, owned: Owned) -> list[str]:
        with self._lock:
            process = _process(instance)
            if process is None or not _is_stopped(process) or PAUSE in owned().values():
                return []
            _continue(process)
            return [f"pause of process {process.pid}"]

    def _kill(self, process: psutil.Process) -> Confirmation:
        _signal(process, signal.SIGKILL)
        _confirm(lambda: not _is_alive(process), f"process {process.pid} is still there after SIGKILL")
        return self._confirmed(f"process {process.pid} is gone")

    def _replaced(self, instance: TargetInstance) -> Confirmation:
        process = _process(instance)
        if process is None:
            msg = f"{instance.id} has not been started again yet; waiting"
            raise Retryable(msg)
        require_healthy(instance.control_url, timeout_s=_HEALTH_TIMEOUT_S)
        return self._confirmed(f"process {process.pid} is healthy")

    def _pause(self, process: psutil.Process, instance: TargetInstance, fault_id: str) -> Confirmation:
        with self._lock:
            _signal(process, signal.SIGSTOP)
            _confirm(lambda: _is_stopped(process), f"process {process.pid} does not stop")
            self._pausers.setdefault(instance.id, set()).add(fault_id)
            return self._confirmed(f"process {process.pid} is {psutil.STATUS_STOPPED}")

    def _resume(self, instance: TargetInstance, fault_id: str) -> Confirmation:
        with self._lock:
            pausers = self._pausers.get(instance.id, set())
            pausers.discard(fault_id)
            process = _process(instance)
            if process is None:
                return self._confirmed("the paused process is gone")
            if pausers:
                return self._confirmed(f"process {process.pid} stays paused for {', '.join(sorted(pausers))}")
            _continue(process)
            return self._confirmed(f"process {process.pid} goes on")

    def _confirmed(self, evidence: str) -> Confirmation:
        return Confirmation(at_us=self._clock(), evidence=evidence)


def _process(instance: TargetInstance) -> psutil.Process | None:
    """The instance's process, or None when it is gone or its pid is someone else's by now."""
    if instance.pid is None:
        return None
    try:
        process = psutil.Process(instance.pid)
        age_us = abs(process.create_time() * 1e6 - instance.started_at_us)
    except psutil.NoSuchProcess:
        return None
    return process if age_us <= _SAME_PROCESS_US and _is_alive(process) else None


def _is_alive(process: psutil.Process) -> bool:
    """Whether it runs or could; one that has ended and was not yet reaped does not."""
    try:
        return process.is_running() and process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False


def _is_stopped(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_STOPPED
    except psutil.NoSuchProcess:
        return False


def _continue(process: psutil.Process) -> None:
    _signal(process, signal.SIGCONT)
    _confirm(lambda: not _is_stopped(process), f"process {process.pid} stays stopped after SIGCONT")


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        # psutil compares the creation time once more before it sends.
        process.send_signal(number)
    except psutil.NoSuchProcess as error:
        msg = f"process {process.pid} was gone before {number.name}; looking again"
        raise Retryable(msg) from error
    except psutil.AccessDenied as error:
        msg = f"process {process.pid} is another user's; run both as the same user"
        raise InvalidInput(msg) from error


def _confirm(check: Callable[[], bool], problem: str) -> None:
    # A fresh event per call: this only paces the looking, nobody sets it.
    pace = threading.Event()
    deadline_s = monotonic() + _CONFIRM_TIMEOUT_S
    while not check():
        if monotonic() >= deadline_s:
            msg = f"{problem}, {_CONFIRM_TIMEOUT_S:g} s later; trying again"
            raise Retryable(msg)
        pace.wait(_CONFIRM_INTERVAL_S)
