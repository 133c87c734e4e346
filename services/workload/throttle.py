"""A limit of processor time, as the kernel's bandwidth control sets to a container, without its rights.

A process may spend its quota in each period; when it is spent, nothing of it runs until there is more::

    period    |----------|----------|----------|
    runs      ███        ██  █      ███
    throttled    .......               .......

The timer of spent processor time interrupts the main thread, which then waits with the interpreter's
lock held, so that no other thread goes on either.
"""

from __future__ import annotations

import ctypes
import signal
import time

_PERIOD_S = 0.1
_FIRST_S = 0.001


class CpuQuota:
    """A quota of this process's processor time; of the main thread only.

    Args:
        cores: processor seconds for each second.
    """

    def __init__(self, cores: float) -> None:
        self._cores = cores
        self._most_s = cores * _PERIOD_S
        self._left_s = self._most_s
        self._seen = (0.0, 0.0)
        # A call by which the interpreter's lock is kept.
        self._usleep = ctypes.PyDLL(None).usleep
        self.throttled = 0
        """How often all of the quota was spent."""

    def start(self) -> None:
        """Holds the process to its quota from now on."""
        self._seen = (time.monotonic(), time.process_time())
        signal.signal(signal.SIGPROF, self._account)
        signal.setitimer(signal.ITIMER_PROF, max(_FIRST_S, self._most_s / 2), max(_FIRST_S, self._most_s / 2))

    def stop(self) -> None:
        """Lets the process run again as it likes."""
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.signal(signal.SIGPROF, signal.SIG_IGN)

    def _account(self, *_: object) -> None:
        now_s, spent_s = time.monotonic(), time.process_time()
        earned_s = (now_s - self._seen[0]) * self._cores
        self._left_s = min(self._most_s, self._left_s + earned_s) - (spent_s - self._seen[1])
        self._seen = (now_s, spent_s)
        if self._left_s > 0.0:
            return
        self.throttled += 1
        self._usleep(int(1e6 * min(1.0, (self._most_s - self._left_s) / self._cores)))
