"""What an instance may use: like a container's, a core, on which it runs with all that it starts, and files.

Linux only. Elsewhere nothing can be pinned, so an instance and its hogs take what cores are free.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys

from microservo.platforms.local.state import OPEN_FILES


def pin(number: int) -> None:
    """Keeps this process, and every thread and process that it starts later, on one core.

    Args:
        number: any from 0 on; instances are dealt out over the cores that this process may use.
    """
    if sys.platform == "linux":
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[number % len(cores)]})


def limit_open_files() -> None:
    """Lets this process open `OPEN_FILES` files and connections at once, wherever it was started from."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


class SharedCore:
    """Has this process wait for its turn while others of its own burn its core.

    The kernel lets a thread that sleeps much interrupt one that computes, so that a server hardly notices a
    process that burns its core. Under a limit of processor time that both share, as in a container, it
    would: nobody is let in first there. SCHED_BATCH is that, at the same priority; children inherit it.

    Attributes:
        limits: who limits its processor time by the one timer that a process has for that.
    """

    def __init__(self) -> None:
        self.limits: set[str] = set()
        self._users = 0

    def enter(self) -> None:
        """Somebody is about to burn the core."""
        self._users += 1
        _wait_for_turns(True)

    def leave(self) -> None:
        """Somebody who entered burns it no more."""
        self._users -= 1
        _wait_for_turns(self._users > 0)


def _wait_for_turns(waits: bool) -> None:
    if sys.platform != "linux":
        return
    policy = os.SCHED_BATCH if waits else os.SCHED_OTHER
    for thread in os.listdir("/proc/self/task"):
        # Ended since we looked.
        with contextlib.suppress(ProcessLookupError):
            os.sched_setscheduler(int(thread), policy, os.sched_param(0))
