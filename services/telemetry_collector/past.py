"""A past range of stores goes onto the topics, minute by minute, as if it came now.

::

    a minute of a source ─► read whole ─► slices, in order of time ─► shipped ─► durable ─► noted
                                          clock: the beginning of each slice

The clock of all that is shipped is how far has been read, so nothing is late, nothing too early, and when it
was collected does not show. What a minute gives goes on only once all of it was read, and it is noted once
all of it is durable. One that was interrupted reads the last minutes again: rates then have the sample
before, and rows that were shipped already are the same.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from functools import partial

from microservo.adapters.broker import Broker
from microservo.adapters.clock import now_us
from microservo.domain.completeness import MINUTE_US
from microservo.domain.row_slices import time_slices
from microservo.domain.rows import LogRows, Rows, SpanRows
from microservo.domain.telemetry import SIGNALS, Signal
from microservo.log.collected_minutes import collected_minutes, minute_id
from microservo.log.publisher import Publisher
from microservo.retry import retry
from microservo.runtime.shutdown import Shutdown
from microservo.sources.inbox import Inbox
from microservo.sources.past import AGAIN_US, PastRange, StoreSettings, make_store
from microservo.sources.source import Parcel
from microservo.sources.stored import Store
from microservo.sources.tailed import Page
from schemas.records import CollectedMinute
from services.telemetry_collector.fault_set import FaultSet
from services.telemetry_collector.inventories import Inventories
from services.telemetry_collector.settings import Settings
from services.telemetry_collector.shipper import Shipper
from services.telemetry_collector.writers import known_before, stamped_writers

logger = logging.getLogger(__name__)

_SLICE_US = 5_000_000
"""A record may lie so far ahead of its stamp."""
_PATIENCE_S = 120.0
"""How long a store may be away before the collection ends, to be gone on with."""
_FLUSH_S = 30.0
_ANY_RECORDS = 1 << 40
"""The minute is there already."""


class PastSource:
    """Ships the past of one source as a writer of its own; belongs to one thread.

    Args:
        settings: with the name of the source as writer.
        broker: where the run is.
        store: keeps the past.
        from_us: beginning of the range, microseconds UTC.
        begin_us: beginning of the first minute that is read.
    """

    def __init__(
        self, settings: Settings, broker: Broker, store: Store, *, from_us: int, begin_us: int
    ) -> None:
        self.begin_us = begin_us
        self._store = store
        self._at_us = begin_us
        self._later: Sequence[Rows] = ()
        self._inbox = Inbox(settings.writer, _ANY_RECORDS, gather_s=0, enough_records=1)
        writers = stamped_writers(
            settings,
            broker,
            self._clock,
            promise=lambda: min(self._at_us, self._inventories.due_us),
            from_us=from_us,
        )
        known = known_before(settings, broker, writers["metrics"].found_at_us)
        interval_us = settings.inventory_interval_us()
        # What was told before the interruption is not told again.
        told_us = max([begin_us, *(each.time_us + interval_us for each in known)])
        self._inventories = Inventories(
            settings.run_id, settings.delays(), from_us=told_us, interval_us=interval_us
        )
        self._inventories.restore(known)
        self._shipper = Shipper(
            self._inbox,
            writers,
            broker.producer(),
            prefix=settings.topic_prefix,
            run_id=settings.run_id,
            clock=self._clock,
            graph_interval_s=settings.graph_interval_s,
            # Spans of both sides of a call lie in one slice or never meet: no time passes here.
            callee_wait_s=0,
            window_us=round(settings.window_s * 1e6),
            inventories=self._inventories,
            # What was recorded is broken no more.
            faults=FaultSet(settings.run_id, self._clock, most_held=0),
            gone_us=dict,
        )

    def read(self, start_us: int, shutdown: Shutdown) -> tuple[list[Page], int]:
        """All of a minute, and what was due in it.

        Raises:
            MicroServoError: the store can't be read, for longer than a moment.
        """

        def ask() -> tuple[list[Page], int]:
            end_us = start_us + MINUTE_US
            return list(self._store.between(start_us, end_us)), self._store.due(start_us, end_us)

        return retry(ask, timeout_s=_PATIENCE_S, wait=shutdown.wait, on_failure=_report)

    def ship(self, start_us: int, pages: Sequence[Page], pace: Callable[[int], object]) -> None:
        """Ships a minute; returns once it is durable.

        Args:
            start_us: its beginning.
            pages: what it holds.
            pace: waits until what ends at an instant may be shipped.

        Raises:
            Fatal: a message could not be delivered.
        """
        ends_us = range(start_us + _SLICE_US, start_us + MINUTE_US + 1, _SLICE_US)
        rows = [*self._later, *(each for page in pages for each in page.rows)]
        *slices, self._later = time_slices(rows, ends_us)
        for page in pages:
            if page.refused:
                self._inbox.put(Parcel(signal=page.signal, refused=page.refused))
        for end_us, some in zip(ends_us, slices, strict=True):
            pace(end_us)
            self._at_us = end_us - _SLICE_US
            self._ship(some)
        # The very end is of the next minute, if there is one.
        self._at_us = start_us + MINUTE_US - 1
        self._ship(())

    def close(self) -> None:
        """Publishes what is due at the end, and closes the producers and the store."""
        self._shipper.finish()
        self._shipper.close()
        self._store.close()

    def _ship(self, rows: Sequence[Rows]) -> None:
        for signal in SIGNALS:
            if some := [each for each in rows if _signal(each) == signal]:
                self._inbox.put(Parcel(signal=signal, rows=some))
        self._shipper.ship(self._inbox.drain(0))
        while self._inbox.records:
            self._shipper.ship(())

    def _clock(self) -> int:
        return self._at_us


def collect_past(
    settings: Settings,
    broker: Broker,
    past: PastRange,
    shutdown: Shutdown,
    *,
    open_store: Callable[[StoreSettings, Callable[[], int]], Store] = make_store,
) -> None:
    """Ships all minutes of a range that were not noted yet, of all sources side by side.

    Args:
        settings: of the run.
        broker: where it is.
        past: the minutes.
        shutdown: ends it after a minute.
        open_store: gives what reads a source's past.

    Raises:
        MicroServoError: a store or Kafka is away for long; another call goes on there.
    """
    noted = {
        (each.source, each.start_us)
        for each in collected_minutes(broker, settings.run_id, settings.topic_prefix)
    }
    with ExitStack() as stack:
        producer = stack.enter_context(broker.producer(linger_ms=0))
        note = Publisher(producer, "telemetry_collector", prefix=settings.topic_prefix, clock=now_us)
        sources: dict[str, PastSource] = {}
        for each in past.source:
            missing = [us for us in past.minutes_us if (each.name, us) not in noted]
            if missing:
                source = PastSource(
                    settings.model_copy(update={"writer": each.name}),
                    broker,
                    open_store(each, now_us),
                    from_us=past.from_us,
                    begin_us=max(past.from_us, missing[0] - AGAIN_US),
                )
                sources[each.name] = stack.enter_context(closing(source))
        pace = _Pace(past.speed, shutdown)
        for start_us in past.minutes_us:
            for name, source in sources.items():
                if shutdown.requested:
                    return
                if start_us < source.begin_us:
                    continue
                pages, due = source.read(start_us, shutdown)
                source.ship(start_us, pages, pace)
                if (name, start_us) not in noted:
                    note.publish(_minute(settings.run_id, name, start_us, pages, due))
                    note.flush(_FLUSH_S)


class _Pace:
    """Holds back what would come sooner than at a speed, counted from the first call."""

    def __init__(self, speed: float | None, shutdown: Shutdown) -> None:
        self._speed = speed
        self._shutdown = shutdown
        self._begun: tuple[float, int] | None = None

    def __call__(self, until_us: int) -> None:
        if self._speed is None:
            return
        begun_s, from_us = self._begun = self._begun or (time.monotonic(), until_us)
        due_s = begun_s + (until_us - from_us) / 1e6 / self._speed
        self._shutdown.wait(max(0.0, due_s - time.monotonic()))


def _minute(run_id: str, source: str, start_us: int, pages: Sequence[Page], due: int) -> CollectedMinute:
    count = partial(_count, [each for page in pages for each in page.rows])
    return CollectedMinute(
        minute_id=minute_id(run_id, source, start_us),
        run_id=run_id,
        source=source,
        start_us=start_us,
        metrics=count("metrics"),
        logs=count("logs"),
        spans=count("traces"),
        refused=sum(len(page.refused) for page in pages),
        due=due,
        held=sum(page.held for page in pages),
        left_out=tuple(dict.fromkeys(each for page in pages for each in page.left_out)),
        collected_at_us=now_us(),
    )


def _count(rows: Sequence[Rows], signal: Signal) -> int:
    return sum(each.count for each in rows if _signal(each) == signal)


def _signal(rows: Rows) -> Signal:
    if isinstance(rows, SpanRows):
        return "traces"
    return "logs" if isinstance(rows, LogRows) else "metrics"


def _report(error: Exception) -> None:
    logger.warning("a minute can't be read now and is tried again: %s", error)
