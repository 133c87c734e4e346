"""A source that follows what a store gathers: it knows how far it has read, and goes on there.

::

    store ──► Tail.pages(cursor) ──► page ──► Sink.put ──► shipped ──► durable ──► Cursors.save

Unlike a reading of the present, what a store keeps can be read again. So nothing is dropped: a page that does
not fit waits, one that can't be read is asked for again, and the cursor passes a page only once it, and every
page before it, is durable. After a restart what was under way is read again; the windower removes rows that
are the same.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from microservo.adapters.otlp.checks import Refused
from microservo.domain.rows import Rows
from microservo.domain.telemetry import Signal
from microservo.errors import MicroServoError, Retryable
from microservo.retry import retry
from microservo.runtime.log_limit import LogLimit
from microservo.runtime.metrics import SOURCE_READ_UNTIL_SECONDS
from microservo.sources.pulled import next_due
from microservo.sources.source import Parcel, Sink, SinkFull

logger = logging.getLogger(__name__)

_FULL_PAUSE_S = 0.1


class Place(NamedTuple):
    """How far has been read.

    Attributes:
        cursor: where to go on; what it says is the tail's own business.
        until_us: what is older was read, microseconds UTC; 0 where that is not known.
    """

    cursor: str
    until_us: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What was read at once.

    Attributes:
        rows: none where there was nothing up to the place.
        place: how far has been read with this page.
        refused: documents that can't be used, for the dead-letter topic.
        left_out: what was asked for, and the store can't answer.
        held: how many documents it was made of, or scrapes; 0 where nobody asks.
    """

    signal: Signal
    rows: Sequence[Rows]
    place: Place
    refused: Sequence[Refused] = ()
    left_out: Sequence[str] = ()
    held: int = 0


class Tail(Protocol):
    """Reads a store from where it was left."""

    def pages(self, cursor: str) -> Generator[Page, None, None]:
        """All that is there behind a cursor and old enough to be complete; the empty one is the beginning.

        It is closed before the tail is.

        Raises:
            MicroServoError: the store can't be read now; pages that were given stay good.
        """

    def close(self) -> None:
        """Ends its connections."""


class Cursors(Protocol):
    """Where a source notes how far it has come."""

    def load(self) -> str:
        """The cursor that was saved last; empty for none.

        Raises:
            Retryable: it can't be known for now.
        """

    def save(self, place: Place) -> None:
        """Notes how far all is durable; returns once that note is, too.

        Raises:
            Retryable: it can't be noted for now.
        """


class MemoryCursors:
    """A cursor that ends with the process: for tests, and where nothing is to go on."""

    def __init__(self, cursor: str = "") -> None:
        self.place = Place(cursor)

    def load(self) -> str:
        return self.place.cursor

    def save(self, place: Place) -> None:
        self.place = place


@dataclass(slots=True)
class _UnderWay:
    """A page that was put."""

    place: Place
    is_durable: bool = False


class Progress:
    """How far pages are durable without a gap; pages end in any order, from any thread."""

    def __init__(self, place: Place) -> None:
        self.durable = place
        """The place up to which all is durable."""
        self._under_way: deque[_UnderWay] = deque()
        self._changed = threading.Condition()

    def begin(self, page: Page) -> _UnderWay:
        """Takes note of a page before it is put."""
        entry = _UnderWay(page.place)
        with self._changed:
            self._under_way.append(entry)
        return entry

    def end(self, entry: _UnderWay) -> None:
        """Takes note that a page is durable."""
        with self._changed:
            entry.is_durable = True
            while self._under_way and self._under_way[0].is_durable:
                self.durable = self._under_way.popleft().place
            self._changed.notify_all()

    def wait(self, timeout_s: float) -> bool:
        """Whether all that was put is durable, by then."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._under_way, timeout_s)


class TailedSource:
    """Puts what a store has gathered into the sink, once in an interval, from a thread of its own.

    Args:
        name: of the source.
        tail: reads the store; used by one thread.
        cursors: where it notes how far it has come.
        interval_s: seconds between two looks at the store.
        delay_us: how far behind the clock what is read lies, the interval included.
    """

    def __init__(self, name: str, tail: Tail, cursors: Cursors, *, interval_s: float, delay_us: int) -> None:
        self.name = name
        self.delay_us = delay_us
        self._tail = tail
        self._cursors = cursors
        self._interval_s = interval_s
        self._failures = LogLimit()
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
            self._thread = None

    def _run(self, sink: Sink) -> None:
        try:
            cursor = retry(self._cursors.load, wait=self._stop.wait)
        except Retryable:
            return
        saved = Place(cursor)
        progress = Progress(saved)
        due_s = time.monotonic()
        while not self._stop.wait(max(0.0, due_s - time.monotonic())):
            try:
                with closing(self._tail.pages(cursor)) as pages:
                    for page in pages:
                        if not self._put(sink, page, progress):
                            break
                        cursor = page.place.cursor
                saved = self._save(progress.durable, saved)
            except MicroServoError as error:
                # Of a store that is away for long, a line a minute is enough.
                if (end := self._failures.end_of_line("", str(error))) is not None:
                    logger.warning("%s can't be read now and is tried again: %s%s", self.name, error, end)
            except Exception:
                logger.exception("a reading of %s failed; it is tried again in time", self.name)
            due_s = next_due(due_s, time.monotonic(), self._interval_s)
        self._tail.close()

    def _put(self, sink: Sink, page: Page, progress: Progress) -> bool:
        """Puts a page once there is room for it; whether it was put before the end."""
        entry = progress.begin(page)
        if not page.rows and not page.refused:
            progress.end(entry)
            return True
        parcel = Parcel(
            signal=page.signal, rows=page.rows, refused=page.refused, durable=lambda: progress.end(entry)
        )
        while not self._stop.is_set():
            try:
                sink.put(parcel)
            except SinkFull:
                self._stop.wait(_FULL_PAUSE_S)
            else:
                return True
        return False

    def _save(self, durable: Place, saved: Place) -> Place:
        if durable != saved:
            self._cursors.save(durable)
        if durable.until_us:
            SOURCE_READ_UNTIL_SECONDS.labels(self.name).set(durable.until_us / 1e6)
        return durable
