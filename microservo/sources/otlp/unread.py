"""Bodies that are refused unread: nothing of them is kept, so they are counted and logged."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from microservo.domain.telemetry import Signal
from microservo.runtime.metrics import REFUSED_BODIES_TOTAL
from microservo.sources.source import TOPICS

logger = logging.getLogger(__name__)

_QUIET_S = 10.0
"""How long after a line in the log the next is withheld."""


class UnreadBodies:
    """Takes note of each; may be called from many threads.

    Args:
        clock_s: seconds that never fall, for the lines in the log.
    """

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._told_at_s = clock_s() - _QUIET_S
        self._untold = 0

    def count(self, signal: Signal, reason: str) -> None:
        """Counts one body, and logs why it was refused unless a line has just been written."""
        REFUSED_BODIES_TOTAL.labels(TOPICS[signal], "unread").inc()
        with self._lock:
            now_s = self._clock_s()
            if now_s - self._told_at_s < _QUIET_S:
                self._untold += 1
                return
            self._told_at_s = now_s
            untold, self._untold = self._untold, 0
        more = f" (and {untold} more since the line before)" if untold else ""
        logger.warning("%s are lost: %s%s", signal, reason, more, extra={"topic": TOPICS[signal]})
