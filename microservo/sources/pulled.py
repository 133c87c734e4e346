"""A source that reads on an interval of its own."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence

from microservo.domain.rows import Rows
from microservo.domain.telemetry import Signal
from microservo.runtime.metrics import RECORDS_TOTAL
from microservo.sources.source import TOPICS, Parcel, Sink, SinkFull

logger = logging.getLogger(__name__)


class PulledSource:
    """Puts what `read` returns into the sink, once in an interval, from a thread of its own.

    Readings lie on a fixed grid of time: they neither drift nor pile up, and one that takes longer than the
    interval makes the grid points it covers fall out. A reading that fails is logged and the next one comes
    in time.

    Args:
        name: of the source.
        signal: what it reads.
        read: one reading; called from one thread.
        interval_s: seconds between two readings.
        delay_us: how far behind the clock what is read lies.
    """

    def __init__(
        self,
        name: str,
        signal: Signal,
        read: Callable[[], Sequence[Rows]],
        *,
        interval_s: float,
        delay_us: int = 0,
    ) -> None:
        self.name = name
        self.delay_us = delay_us
        self._signal = signal
        self._read = read
        self._interval_s = interval_s
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, sink: Sink) -> None:
        self._thread = threading.Thread(
            target=self._run, args=(sink,), name=f"source-{self.name}", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self, sink: Sink) -> None:
        due_s = time.monotonic()
        while not self._stop.wait(max(0.0, due_s - time.monotonic())):
            try:
                self._put(sink, Parcel(signal=self._signal, rows=self._read()))
            except Exception:
                logger.exception("a reading of %s failed; the next one is tried in time", self.name)
            due_s = next_due(due_s, time.monotonic(), self._interval_s)

    def _put(self, sink: Sink, parcel: Parcel) -> None:
        try:
            sink.put(parcel)
        except SinkFull as error:
            RECORDS_TOTAL.labels(self.name, TOPICS[self._signal], "dropped").inc(parcel.records)
            logger.warning("a reading of %s is dropped: %s", self.name, error)


def next_due(due_s: float, now_s: float, interval_s: float) -> float:
    """The first point of the grid after both `due_s` and now.

    Example:
        >>> next_due(10.0, 10.2, 1.0), next_due(10.0, 12.7, 1.0)
        (11.0, 13.0)
    """
    return due_s + interval_s * max(1, math.ceil((now_s - due_s) / interval_s))
