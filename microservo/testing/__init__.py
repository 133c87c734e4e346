"""What tests of programs on MicroServo need: a broker in memory, a manual clock, a wait with a deadline.

An extension proves itself with the checks that ours must pass: `check_algorithm` here, `check_broker` in
`testing.brokers`, `check_platform` in `testing.platforms`, `check_driver` in `testing.drivers`,
`check_source` in `testing.sources`. They need no pytest; with it, parametrize a test by the `CHECKS` of the
same module. `try_algorithm` says what an algorithm gets on a recorded run.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from microservo.adapters.memory import MemoryBroker
from microservo.testing.plugins import check_algorithm, try_algorithm

__all__ = ["ManualClock", "MemoryBroker", "check_algorithm", "eventually", "try_algorithm"]

T = TypeVar("T")


class ManualClock:
    """A clock that moves only by `advance`; calling it gives its time.

    Args:
        now_us: the first time, in epoch microseconds UTC.

    Example:
        >>> clock = ManualClock(1_000_000)
        >>> clock.advance(500)
        >>> clock()
        1000500
    """

    def __init__(self, now_us: int = 0) -> None:
        self._now_us = now_us

    def __call__(self) -> int:
        return self._now_us

    def advance(self, us: int) -> None:
        """Moves the clock on by `us` microseconds."""
        self._now_us += us


def eventually(
    check: Callable[[], T], *, timeout_s: float = 30, interval_s: float = 0.05, what: str = "the condition"
) -> T:
    """The first truthy value that `check` returns, asked again every `interval_s` seconds.

    Raises:
        AssertionError: `timeout_s` seconds passed first; it names `what` and the last value.
    """
    deadline = time.monotonic() + timeout_s
    while not (value := check()):
        if time.monotonic() >= deadline:
            msg = f"{what} did not come about within {timeout_s:g} s; the last value was {value!r}"
            raise AssertionError(msg)
        threading.Event().wait(interval_s)
    return value
