"""The mechanism of faults that are signals to the instance's process: SIGKILL, SIGSTOP, SIGCONT.

A kill for want of memory begins with the memory, which the instance itself takes.

A signal is only sent to a process that was created when the target says the instance was: never to another
one that was given the same pid. What it leads to is looked for again and again, and the instant is that of
the first look that saw it::

    signal      look, not yet      look, not yet      look, there it is
       |              |                  |---- within ----|
                                                        at
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from urllib.parse import quote

import psutil

from microservo.domain.faults.base import Wire
from microservo.domain.remembered import Remembered
from microservo.errors import InvalidInput, Retryable
from microservo.platforms.absent import absent, gone
from microservo.platforms.local.mechanisms.control_api import ControlClient, confirmation_of
from microservo.platforms.local.state import LocalInstance, TargetState
from microservo.platforms.mechanism import Confirmation, Owned
from microservo.retry import retry
from microservo.runtime.probe import is_healthy

KILL = "process-kill"
OOM = "oom-kill"
PAUSE = "process-pause"

# psutil takes a process's age from the boot time, which the kernel reports in whole seconds.
_SAME_PROCESS_US = 5_000_000
_KILLS = frozenset({KILL, OOM})
_GROW_TIMEOUT_S = 20.0
_CONFIRM_TIMEOUT_S = 5.0
_CONFIRM_INTERVAL_S = 0.001
REPLACED_WITHIN_S = 2.0
_REPLACED_INTERVAL_S = 0.02

_Key = tuple[str, str]
"""An instance and a fault."""


class ProcessSignals:
    """`Mechanism` by signals. A kill is over when the process that replaces the killed one is healthy.

    Args:
        state: the target at this moment.
        clock: epoch microseconds UTC.
        replaced_within_s: how long one recovery waits for the replacement; waiting here rather than asking
            again and again makes its instant exact.
    """

    name = "process"

    def __init__(
        self,
        state: Callable[[], TargetState],
        clock: Callable[[], int],
        *,
        replaced_within_s: float = REPLACED_WITHIN_S,
    ) -> None:
        self._state = state
        self._clock = clock
        self._replaced_within_s = replaced_within_s
        self._pausers: dict[str, set[str]] = {}
        self._applied = Remembered[_Key, tuple[int, Confirmation]]()
        self._recovered = Remembered[_Key, Confirmation]()
        self._unseen = Remembered[_Key, int]()
        """When it was last looked in vain for a replacement."""
        self._lock = threading.Lock()

    def apply(self, instance: str, fault_id: str, wire: Wire) -> Confirmation:
        found = self._state().instance(instance)
        if found is None:
            raise absent(instance)
        key = (instance, fault_id)
        pid, before = self._applied.get(key) or (None, None)
        if before is not None and wire[0] in _KILLS:
            return before
        process = process_of(found)
        if process is None:
            msg = f"{instance} is down, so {wire[0]} can't be applied; try again when it is up"
            raise InvalidInput(msg)
        if before is not None and pid == process.pid and _is_stopped(process):
            return before
        if wire[0] in _KILLS:
            confirmed = self._kill(process, self._grown(found, fault_id, wire) if wire[0] == OOM else "")
        else:
            confirmed = self._pause(process, key)
        self._applied[key] = (process.pid, confirmed)
        self._recovered.forget(key)
        return confirmed

    def recover(self, instance: str, fault_id: str, wire: Wire) -> Confirmation:
        key = (instance, fault_id)
        confirmed = self._recovered.get(key)
        if confirmed is None:
            confirmed = self._replaced(key) if wire[0] in _KILLS else self._resume(instance, fault_id)
            if wire[0] == OOM:
                self._shrink(instance, fault_id)
            self._recovered[key] = confirmed
            self._applied.forget(key)
        return confirmed

    def holds(self, instance: str, fault_id: str, wire: Wire) -> bool:
        found = self._state().instance(instance)
        if wire[0] in _KILLS:
            return found is not None and process_of(found) is None
        with self._lock:
            process = None if found is None else process_of(found)
            if process is None or not _is_stopped(process):
                return False
            self._pausers.setdefault(instance, set()).add(fault_id)
            return True

    def acted(self, instance: str, fault_id: str, wire: Wire) -> int | None:
        return None

    def release_unowned(self, instance: str, owned: Owned) -> list[str]:
        found = self._state().instance(instance)
        with self._lock:
            process = None if found is None else process_of(found)
            if process is None or not _is_stopped(process) or PAUSE in owned().values():
                return []
            _signal(process, signal.SIGCONT)
            self._seen(
                lambda: not _is_stopped(process),
                self._clock(),
                problem=f"process {process.pid} stays stopped after SIGCONT",
                evidence="",
            )
            return [f"pause of process {process.pid}"]

    def _grown(self, instance: LocalInstance, fault_id: str, wire: Wire) -> str:
        """Has the instance take memory, which ends with it; what it says of that.

        Raises:
            InvalidInput: the machine has not that much to spare.
        """
        body = {"kind": "memory-hog", "parameters": dict(wire[1])}
        answer = self._client(instance).call("PUT", _path(fault_id), body=body, timeout_s=_GROW_TIMEOUT_S)
        return f"{confirmation_of(answer, 'applied_at_us').evidence}; "

    def _shrink(self, instance: str, fault_id: str) -> None:
        """Has an instance that was not killed after all give the memory back."""
        found = self._state().instance(instance)
        if found is not None:
            self._client(found).call("DELETE", _path(fault_id))

    def _client(self, instance: LocalInstance) -> ControlClient:
        return ControlClient(instance.control_url, self._state().control_token)

    def _kill(self, process: psutil.Process, before: str) -> Confirmation:
        since_us = self._clock()
        _signal(process, signal.SIGKILL)
        return self._seen(
            lambda: not _is_alive(process),
            since_us,
            problem=f"process {process.pid} is still there after SIGKILL",
            evidence=f"{before}process {process.pid} is gone",
        )

    def _replaced(self, key: _Key) -> Confirmation:
        return retry(
            lambda: self._replacement(key),
            timeout_s=self._replaced_within_s,
            first_pause_s=_REPLACED_INTERVAL_S,
            longest_pause_s=_REPLACED_INTERVAL_S,
        )

    def _replacement(self, key: _Key) -> Confirmation:
        looked_us, instance = self._clock(), key[0]
        found = self._state().instance(instance)
        if found is None:
            return gone(self._clock())
        process = process_of(found)
        if process is None or not is_healthy(found.control_url):
            self._unseen[key] = looked_us
            problem = "been started again" if process is None else f"become healthy as process {process.pid}"
            msg = f"{instance} has not {problem} yet; waiting"
            raise Retryable(msg)
        at_us = self._clock()
        # A later process of the injector may not have looked before; but nothing is healthy before its start.
        since_us = max(found.started_at_us, self._unseen.get(key) or 0)
        return Confirmation(
            at_us=at_us, evidence=f"process {process.pid} is healthy", within_us=at_us - since_us
        )

    def _pause(self, process: psutil.Process, key: _Key) -> Confirmation:
        with self._lock:
            since_us = self._clock()
            _signal(process, signal.SIGSTOP)
            confirmed = self._seen(
                lambda: _is_stopped(process),
                since_us,
                problem=f"process {process.pid} does not stop",
                evidence=f"process {process.pid} is {psutil.STATUS_STOPPED}",
            )
            self._pausers.setdefault(key[0], set()).add(key[1])
            return confirmed

    def _resume(self, instance: str, fault_id: str) -> Confirmation:
        found = self._state().instance(instance)
        with self._lock:
            since_us = self._clock()
            pausers = self._pausers.get(instance, set())
            pausers.discard(fault_id)
            process = None if found is None else process_of(found)
            if process is None or not _is_stopped(process):
                # It went on, or ended, when nobody looked.
                what = "the paused process is gone" if process is None else f"process {process.pid} goes on"
                return Confirmation(at_us=self._clock(), evidence=what)
            if pausers:
                others = ", ".join(sorted(pausers))
                evidence = f"process {process.pid} stays paused for {others}"
                return Confirmation(at_us=since_us, evidence=evidence, within_us=0)
            _signal(process, signal.SIGCONT)
            return self._seen(
                lambda: not _is_stopped(process),
                since_us,
                problem=f"process {process.pid} stays stopped after SIGCONT",
                evidence=f"process {process.pid} goes on",
            )

    def _seen(self, check: Callable[[], bool], since_us: int, *, problem: str, evidence: str) -> Confirmation:
        """Looks until a check holds; it did not at `since_us`.

        Raises:
            Retryable: it does not hold for too long; `problem` says what does instead.
        """
        unseen_us = since_us

        def look() -> int:
            nonlocal unseen_us
            looked_us = self._clock()
            if check():
                return self._clock()
            unseen_us = looked_us
            msg = f"{problem}, {_CONFIRM_TIMEOUT_S:g} s later; trying again"
            raise Retryable(msg)

        at_us = retry(
            look,
            timeout_s=_CONFIRM_TIMEOUT_S,
            first_pause_s=_CONFIRM_INTERVAL_S,
            longest_pause_s=_CONFIRM_INTERVAL_S,
        )
        return Confirmation(at_us=at_us, evidence=evidence, within_us=at_us - unseen_us)


def _path(fault_id: str) -> str:
    return f"/faults/{quote(fault_id)}"


def process_of(instance: LocalInstance) -> psutil.Process | None:
    """The instance's process, or None when it is gone or its pid is another process's by now."""
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
