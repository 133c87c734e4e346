"""Requests that are refused: all are counted, and the log has a line a minute for each signal and reason."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from microservo.adapters.otlp.answers import Refusal
from microservo.domain.telemetry import Signal
from microservo.runtime.log_limit import LogLimit
from microservo.runtime.metrics import REFUSED_BODIES_TOTAL
from microservo.sources.source import TOPICS

logger = logging.getLogger(__name__)


class Refusals:
    """Takes note of each; may be called from many threads.

    Args:
        clock_s: seconds that never fall, for the lines in the log.
    """

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._limit = LogLimit(clock_s=clock_s)

    def count(self, refusal: Refusal, signal: Signal | None, text: str) -> None:
        """Counts one request, and logs why it was refused unless a line about that was written lately.

        Args:
            refusal: why.
            signal: what it was meant to hold; None where it does not say.
            text: what the sender is told.
        """
        topic = TOPICS[signal] if signal else ""
        REFUSED_BODIES_TOTAL.labels(topic, refusal.reason).inc()
        # The log has a line about each kind of dead letter already.
        if refusal.is_kept:
            return
        end = self._limit.end_of_line(topic, refusal.reason)
        if end is not None:
            what = signal or "a request"
            logger.warning("%s refused (%s): %s%s", what, refusal.reason, text, end, extra={"topic": topic})
