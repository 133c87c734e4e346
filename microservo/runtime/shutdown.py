"""The request to end, by a signal or from inside."""

from __future__ import annotations

import queue
import signal
from collections.abc import Sequence
from types import FrameType, TracebackType
from typing import Self


class Shutdown:
    """Becomes `requested` at SIGTERM or SIGINT; loops look at it and leave in their own order.

    Args:
        signals: signals to listen to; give none outside the main thread.

    As a context manager it puts the former handlers back at the end.
    """

    def __init__(self, signals: Sequence[signal.Signals] = (signal.SIGTERM, signal.SIGINT)) -> None:
        # A handler runs between any two bytecodes, maybe while the same thread holds the lock of an Event;
        # SimpleQueue.put is the one wake-up that may be called there.
        self._wakeups: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._requested = False
        self._former = {number: signal.signal(number, self._on_signal) for number in signals}

    @property
    def requested(self) -> bool:
        """Whether the process shall end."""
        return self._requested

    def request(self) -> None:
        """Asks the process to end; wakes all that wait."""
        self._requested = True
        self._wakeups.put(None)

    def wait(self, timeout_s: float) -> bool:
        """Waits up to `timeout_s` seconds for the request; returns whether it has come."""
        if not self._requested:
            try:
                self._wakeups.get(timeout=max(timeout_s, 0))
            except queue.Empty:
                return self._requested
            self._wakeups.put(None)  # for the next who waits
        return True

    def restore(self) -> None:
        """Puts the former signal handlers back."""
        for number, handler in self._former.items():
            signal.signal(number, handler)
        self._former = {}

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.request()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.restore()
