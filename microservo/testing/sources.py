"""What every source of telemetry must hold; an extension's tests call `check_source` for its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from microservo.domain.rows import Rows, SpanRows
from microservo.sources.source import Parcel, SinkFull, Source
from microservo.testing import eventually

_PATIENCE_S = 30.0
_FUTURE_US = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceUnderTest:
    """A source that is not started yet.

    Args:
        source: what is tested.
        push: sends it something of at least one row, waits for the answer, and returns whether it was
            acknowledged; None for a source that pulls, which must read at least ten times a second.
    """

    source: Source
    push: Callable[[], bool] | None = None


MakeSource = Callable[[], SourceUnderTest]


class RecordingSink:
    """A sink that keeps what it gets, and can be full."""

    def __init__(self) -> None:
        self.parcels: list[Parcel] = []
        self.is_full = False

    def put(self, parcel: Parcel) -> None:
        """As `Sink.put`."""
        if self.is_full:
            msg = "the sink of the test is full; send again later"
            raise SinkFull(msg)
        self.parcels.append(parcel)


def check_source(make_source: MakeSource) -> None:
    """Runs every check on a new source each.

    Args:
        make_source: gives a new source that is not started.

    Raises:
        AssertionError: the source breaks a promise of `microservo.sources.source`; it says which.
    """
    for check in (
        check_stop_without_start,
        check_rows,
        check_nothing_after_stop,
        check_full_sink,
    ):
        check(make_source())
    if make_source().push is None:
        check_pull_goes_on(make_source())
    else:
        check_push_waits(make_source())


def check_stop_without_start(given: SourceUnderTest) -> None:
    """A source that was never started can be stopped, and has a name and a delay."""
    given.source.stop()
    assert given.source.name, "a source has a name"
    assert given.source.delay_us >= 0, "a source is never ahead of the clock"


def check_rows(given: SourceUnderTest) -> None:
    """What it puts are rows of services, in columns of one length, not older than its delay allows."""
    with _Running(given) as running:
        parcel = running.first_parcel()
        oldest_us = time.time_ns() // 1000 - given.source.delay_us - int(_PATIENCE_S * 1e6)
        assert parcel.rows, "a parcel of the test holds rows"
        for rows in parcel.rows:
            _check_columns(rows, oldest_us)


def check_nothing_after_stop(given: SourceUnderTest) -> None:
    """Once it is stopped, it puts nothing more and leaves no thread; a second stop does nothing."""
    before = set(threading.enumerate())
    with _Running(given) as running:
        running.first_parcel()
    count = len(running.sink.parcels)
    given.source.stop()
    eventually(
        lambda: not [each for each in threading.enumerate() if each not in before and not each.daemon],
        timeout_s=_PATIENCE_S,
        what="the end of its threads",
    )
    assert len(running.sink.parcels) == count, "nothing is put after the stop"


def check_full_sink(given: SourceUnderTest) -> None:
    """A full sink is no error: a sender is refused, a reading dropped, and it goes on when there is room."""
    with _Running(given, full=True) as running:
        if given.push is not None:
            assert not given.push(), "what was not accepted must not be acknowledged"
        assert not running.sink.parcels
        running.sink.is_full = False
        running.first_parcel()


def check_push_waits(given: SourceUnderTest) -> None:
    """A sender hears that all is well after its parcel is durable, not before."""
    with _Running(given) as running:
        parcel = running.first_parcel()
        answer = running.answer
        assert answer is not None
        assert not answer.done(), "the sender must wait until its parcel is durable"
        parcel.durable()
        assert answer.result(_PATIENCE_S), "a durable parcel is acknowledged"


def check_pull_goes_on(given: SourceUnderTest) -> None:
    """Readings go on though nothing is durable yet."""
    with _Running(given) as running:
        eventually(lambda: len(running.sink.parcels) >= 3, timeout_s=_PATIENCE_S, what="a third reading")


class _Running:
    """A source that runs into a recording sink; a sender that waits is answered at the end."""

    def __init__(self, given: SourceUnderTest, *, full: bool = False) -> None:
        self.sink = RecordingSink()
        self.sink.is_full = full
        self.answer: Future[bool] | None = None
        self._given = given
        self._sender = ThreadPoolExecutor(1)

    def first_parcel(self) -> Parcel:
        if self._given.push is not None:
            self.answer = self._sender.submit(self._given.push)
        return eventually(lambda: self.sink.parcels, timeout_s=_PATIENCE_S, what="a parcel")[0]

    def __enter__(self) -> _Running:
        self._given.source.start(self.sink)
        return self

    def __exit__(self, *_: object) -> None:
        for parcel in list(self.sink.parcels):
            parcel.durable()
        self._given.source.stop()
        self._sender.shutdown()


def _check_columns(rows: Rows, oldest_us: int) -> None:
    assert rows.service, "rows belong to a service"
    assert rows.count > 0, "there are no empty rows"
    times_us = rows.start_us + rows.duration_us if isinstance(rows, SpanRows) else rows.time_us
    assert len(times_us) == rows.count
    newest_us = time.time_ns() // 1000 + _FUTURE_US
    assert oldest_us <= int(times_us.min()), "times are epoch microseconds, not older than the delay allows"
    assert int(times_us.max()) <= newest_us, "times are epoch microseconds, and not in the future"
