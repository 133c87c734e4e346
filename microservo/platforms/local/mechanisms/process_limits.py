"""The mechanism of faults that are limits of the instance's process, set from outside (Linux: prlimit).

An instance has the limit of open files that `OPEN_FILES` says. The kernel gives a file or a connection the
lowest number that is free, and refuses it where that is not below the limit, so a limit at the lowest free
number leaves none::

    number    0  1  2  3  4  5  6  7  8
    taken     █  █  █  █     █  █
    limit                 ^ none is left; below 8, two would be
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from itertools import count, islice
from pathlib import Path

import psutil

from microservo.domain.faults.base import Wire
from microservo.domain.remembered import Remembered
from microservo.errors import InvalidInput, Retryable
from microservo.platforms.absent import absent, gone
from microservo.platforms.local.mechanisms.process import process_of
from microservo.platforms.local.state import OPEN_FILES, LocalInstance, TargetState
from microservo.platforms.mechanism import Confirmation, Owned

_KIND = "fd-exhaustion"


class ProcessLimits:
    """`Mechanism` by limits; of several on one instance the lowest holds.

    Args:
        state: the target at this moment.
        clock: epoch microseconds UTC.
    """

    name = "limits"

    def __init__(self, state: Callable[[], TargetState], clock: Callable[[], int]) -> None:
        self._state = state
        self._clock = clock
        self._limiters: dict[str, set[str]] = {}
        self._applied = Remembered[tuple[str, str], tuple[int, Confirmation]]()
        self._recovered = Remembered[tuple[str, str], Confirmation]()
        self._lock = threading.Lock()

    def apply(self, instance: str, fault_id: str, wire: Wire) -> Confirmation:
        if sys.platform != "linux":
            msg = f"{wire[0]} needs Linux, which sets limits of a process from outside; inject it there"
            raise InvalidInput(msg)
        found = self._state().instance(instance)
        if found is None:
            raise absent(instance)
        with self._lock:
            process, key = process_of(found), (instance, fault_id)
            if process is None:
                msg = f"{instance} is down, so {wire[0]} can't be applied; try again when it is up"
                raise InvalidInput(msg)
            pid, before = self._applied.get(key) or (None, None)
            if before is not None and pid == process.pid and _is_limited(process):
                return before
            left = _left(wire)
            began_us = self._clock()
            limit = min(_leaving(process, left), _limits(process)[0])
            _set_limit(process, limit)
            at_us = self._clock()
            evidence = (
                f"process {process.pid} may open {_limits(process)[0]} files, {process.num_fds()} are open"
            )
            confirmed = Confirmation(at_us=at_us, evidence=evidence, within_us=at_us - began_us)
            self._limiters.setdefault(instance, set()).add(fault_id)
            self._applied[key] = (process.pid, confirmed)
            self._recovered.forget(key)
            return confirmed

    def recover(self, instance: str, fault_id: str, wire: Wire) -> Confirmation:
        key = (instance, fault_id)
        with self._lock:
            confirmed = self._recovered.get(key)
            if confirmed is None:
                confirmed = self._lift(instance, fault_id)
                self._recovered[key] = confirmed
                self._applied.forget(key)
            return confirmed

    def holds(self, instance: str, fault_id: str, wire: Wire) -> bool:
        with self._lock:
            process = self._process(instance)
            if process is None or not _is_limited(process):
                return False
            self._limiters.setdefault(instance, set()).add(fault_id)
            return True

    def acted(self, instance: str, fault_id: str, wire: Wire) -> int | None:
        return None

    def release_unowned(self, instance: str, owned: Owned) -> list[str]:
        with self._lock:
            process = self._process(instance)
            if process is None or not _is_limited(process) or _KIND in owned().values():
                return []
            _set_limit(process, _usual(process))
            return [f"limit of process {process.pid}"]

    def _lift(self, instance: str, fault_id: str) -> Confirmation:
        limiters, process = self._limiters.get(instance, set()), self._process(instance)
        limiters.discard(fault_id)
        if process is None:
            return gone(self._clock())
        if not _is_limited(process):
            evidence = f"process {process.pid} may open {_limits(process)[0]} files already"
            return Confirmation(at_us=self._clock(), evidence=evidence)
        began_us = self._clock()
        if limiters:
            evidence = f"process {process.pid} stays limited for {', '.join(sorted(limiters))}"
            return Confirmation(at_us=began_us, evidence=evidence, within_us=0)
        _set_limit(process, _usual(process))
        at_us = self._clock()
        evidence = f"process {process.pid} may open {_limits(process)[0]} files"
        return Confirmation(at_us=at_us, evidence=evidence, within_us=at_us - began_us)

    def _process(self, instance: str) -> psutil.Process | None:
        found: LocalInstance | None = self._state().instance(instance)
        return None if found is None else process_of(found)


def _left(wire: Wire) -> int:
    left = wire[1].get("left")
    if set(wire[1]) != {"left"} or not isinstance(left, int) or not 0 <= left < OPEN_FILES:
        msg = f"{wire[0]} of {dict(wire[1])} can't be; give left alone, from 0 to {OPEN_FILES - 1}"
        raise InvalidInput(msg)
    return left


def _limits(process: psutil.Process) -> tuple[int, int]:
    """The soft and the hard limit of open files."""
    try:
        soft, hard = process.rlimit(psutil.RLIMIT_NOFILE)
    except psutil.NoSuchProcess as error:
        msg = f"process {process.pid} was gone before its limits were read; looking again"
        raise Retryable(msg) from error
    return soft, hard


def _set_limit(process: psutil.Process, soft: int) -> None:
    try:
        process.rlimit(psutil.RLIMIT_NOFILE, (soft, _limits(process)[1]))
    except psutil.NoSuchProcess as error:
        msg = f"process {process.pid} was gone before its limit was set; looking again"
        raise Retryable(msg) from error
    except psutil.AccessDenied as error:
        msg = f"process {process.pid} is another user's; run both as the same user"
        raise InvalidInput(msg) from error


def _usual(process: psutil.Process) -> int:
    """The limit that an instance gives itself when it starts."""
    hard = _limits(process)[1]
    return OPEN_FILES if hard == psutil.RLIM_INFINITY else min(OPEN_FILES, hard)


def _is_limited(process: psutil.Process) -> bool:
    return _limits(process)[0] < _usual(process)


def _leaving(process: psutil.Process, left: int) -> int:
    """The limit below which so many numbers are free."""
    taken = {int(entry.name) for entry in Path(f"/proc/{process.pid}/fd").iterdir()}
    free = (number for number in count() if number not in taken)
    return next(islice(free, left, None))
