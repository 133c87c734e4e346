"""What a fenced process and all that it started use, and the signals that reach all of them."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import psutil

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_STATE, _USER_TICKS = 0, 11
"""Of the fields after a process' name in /proc/PID/stat (proc(5)): state; utime, stime, cutime and cstime."""


@dataclass(frozen=True, slots=True)
class Usage:
    """At one moment.

    Args:
        memory_bytes: resident, of all processes.
        cpu_s: of all that run, and of their children that have ended.
        files: files and folders in what can be written; 0 where that is not known.
    """

    memory_bytes: int
    cpu_s: float
    files: int = 0


class Meter(Protocol):
    """Looks at one process and all that it started, at the kernel's word and never at theirs."""

    def usage(self, exact_above_bytes: int) -> Usage:
        """What they use now; memory beyond the bound is counted again without counting shared pages twice."""

    def processes(self) -> int:
        """How many there are that have not ended, whoever must still hear of that."""

    def signal(self, number: signal.Signals) -> None:
        """Signals each of them."""


class NamespaceMeter:
    """Looks through the fence's own `/proc`, which shows exactly its processes, however they detached.

    Args:
        pid: of bwrap.
        proc: open `/proc` of the fence.
        writable: open folders, one of each writable file system.
    """

    def __init__(self, pid: int, proc: int, writable: Sequence[int]) -> None:
        self._pid = pid
        self._proc = proc
        self._writable = tuple(writable)

    def usage(self, exact_above_bytes: int) -> Usage:
        pids = self._pids()
        memory = sum(self._resident_bytes(pid) for pid in pids)
        if memory > exact_above_bytes:
            memory = sum(self._proportional_bytes(pid) for pid in pids)
        return Usage(memory, sum(self._cpu_s(pid) for pid in pids), self._files())

    def processes(self) -> int:
        # bwrap does not wait for the fence's first process, so that is left to the machine's own first one.
        states = [self._stat(pid)[_STATE : _STATE + 1] for pid in self._pids()]
        return sum(state not in ([], [b"Z"], [b"X"]) for state in states)

    def signal(self, number: signal.Signals) -> None:
        """SIGKILL ends bwrap, and the kernel all of its namespace; others go to each process."""
        if number == signal.SIGKILL:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, number)
            return
        for pid in _pids_below(self._pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _pids(self) -> list[str]:
        try:
            return [name for name in os.listdir(self._proc) if name.isdigit()]
        except OSError:
            # The last process of the namespace has ended.
            return []

    def _resident_bytes(self, pid: str) -> int:
        fields = self._read(f"{pid}/statm").split()
        return int(fields[1]) * _PAGE_BYTES if fields else 0

    def _proportional_bytes(self, pid: str) -> int:
        for line in self._read(f"{pid}/smaps_rollup").splitlines():
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
        return self._resident_bytes(pid)

    def _cpu_s(self, pid: str) -> float:
        return sum(int(ticks) for ticks in self._stat(pid)[_USER_TICKS : _USER_TICKS + 4]) / _TICKS_PER_S

    def _stat(self, pid: str) -> list[bytes]:
        # The name, in parentheses, may hold anything.
        return self._read(f"{pid}/stat").rpartition(b")")[2].split()

    def _files(self) -> int:
        states = [os.fstatvfs(folder) for folder in self._writable]
        return sum(state.f_files - state.f_ffree for state in states)

    def _read(self, name: str) -> bytes:
        """A file of /proc; empty where the process has ended meanwhile."""
        try:
            file = os.open(name, os.O_RDONLY, dir_fd=self._proc)
        except OSError:
            return b""
        try:
            return os.read(file, 1 << 16)
        except OSError:
            return b""
        finally:
            os.close(file)


class TreeMeter:
    """Looks at a process and its descendants, as long as they stay that.

    Args:
        pid: leader of a process group of its own.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def usage(self, exact_above_bytes: int) -> Usage:
        processes = self._all()
        memory = sum(_resident_bytes(process) for process in processes)
        if memory > exact_above_bytes:
            memory = sum(_proportional_bytes(process) for process in processes)
        return Usage(memory, sum(_cpu_s(process) for process in processes))

    def processes(self) -> int:
        return sum(_has_not_ended(process) for process in self._all())

    def signal(self, number: signal.Signals) -> None:
        """Also reaches its process group, which outlives it."""
        for process in _descendants(self._pid):
            with contextlib.suppress(psutil.Error):
                process.send_signal(number)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, number)

    def _all(self) -> list[psutil.Process]:
        try:
            itself = psutil.Process(self._pid)
        except psutil.Error:
            return []
        return [itself, *_descendants(self._pid)]


def _pids_below(pid: int) -> list[int]:
    """All descendants, by what each thread has started (proc(5), children): no look at other processes."""
    found = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:
                found += [int(child) for child in file.read().split()]
    except OSError:
        # It has ended meanwhile.
        return found
    return [*found, *(below for child in found for below in _pids_below(child))]


def _descendants(pid: int) -> list[psutil.Process]:
    if sys.platform == "linux":
        found = []
        for below in _pids_below(pid):
            with contextlib.suppress(psutil.Error):
                found.append(psutil.Process(below))
        return found
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def _has_not_ended(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _resident_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def _proportional_bytes(process: psutil.Process) -> int:
    try:
        return int(getattr(process.memory_full_info(), "pss", process.memory_info().rss))
    except psutil.Error:
        return _resident_bytes(process)


def _cpu_s(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)
