"""What every source of telemetry keeps to, as sentences that an extension's tests run on one of their own."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from microservo.domain.rows import Rows, SpanRows
from microservo.sources.source import Parcel, SinkFull, Source
from microservo.testing import eventually
from microservo.testing.checks import checks_in, run_checks

_TIMEOUT_S = 30.0
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


def a_source_that_was_never_started_can_be_stopped_and_has_a_name_and_a_delay(make: MakeSource) -> None:
    source = make().source
    source.stop()
    assert source.name, "a source has a name"
    assert source.delay_us >= 0, "a source is never ahead of the clock"


def it_puts_rows_of_services_in_columns_of_one_length_within_its_delay(make: MakeSource) -> None:
    with _Running(make()) as running:
        parcel = running.first_parcel()
        oldest_us = time.time_ns() // 1000 - running.source.delay_us - int(_TIMEOUT_S * 1e6)
        assert parcel.rows, "a parcel of the test holds rows"
        for rows in parcel.rows:
            _check_columns(rows, oldest_us)


def after_a_stop_it_puts_nothing_and_leaves_no_thread_and_a_second_stop_does_nothing(
    make: MakeSource,
) -> None:
    given = make()
    before = set(threading.enumerate())
    with _Running(given) as running:
        running.first_parcel()
    count = len(running.sink.parcels)
    given.source.stop()
    eventually(
        lambda: not [each for each in threading.enumerate() if each not in before and not each.daemon],
        timeout_s=_TIMEOUT_S,
        what="the end of its threads",
    )
    assert len(running.sink.parcels) == count, "nothing is put after the stop"


def a_full_sink_refuses_senders_and_drops_readings_and_it_goes_on_when_there_is_room(
    make: MakeSource,
) -> None:
    given = make()
    with _Running(given, full=True) as running:
        if given.push is not None:
            assert not given.push(), "what was not accepted must not be acknowledged"
        assert not running.sink.parcels
        running.sink.is_full = False
        running.first_parcel()


def a_sender_is_acknowledged_once_its_parcel_is_durable_and_not_before(make: MakeSource) -> None:
    given = make()
    if given.push is None:
        return
    with _Running(given) as running:
        parcel = running.first_parcel()
        answer = running.answer
        assert answer is not None
        assert not answer.done(), "the sender must wait until its parcel is durable"
        parcel.durable()
        assert answer.result(_TIMEOUT_S), "a durable parcel is acknowledged"


def readings_go_on_though_nothing_is_durable_yet(make: MakeSource) -> None:
    given = make()
    if given.push is not None:
        return
    with _Running(given) as running:
        eventually(lambda: len(running.sink.parcels) >= 3, timeout_s=_TIMEOUT_S, what="a third reading")


CHECKS = checks_in(sys.modules[__name__])
"""Each is given a way to make the source; what holds only for senders, or only for readings, is left out."""


def check_source(make: MakeSource) -> None:
    """Runs all checks on a source.

    Args:
        make: gives a new source each time, which is not started.

    Raises:
        ExceptionGroup: what does not hold.
    """
    run_checks(CHECKS, lambda: (make,))


class _Running:
    """A source that runs into a recording sink; a sender that waits is answered at the end."""

    def __init__(self, given: SourceUnderTest, *, full: bool = False) -> None:
        self.source = given.source
        self.sink = RecordingSink()
        self.sink.is_full = full
        self.answer: Future[bool] | None = None
        self._push = given.push
        self._sender = ThreadPoolExecutor(1)

    def first_parcel(self) -> Parcel:
        if self._push is not None:
            self.answer = self._sender.submit(self._push)
        return eventually(lambda: self.sink.parcels, timeout_s=_TIMEOUT_S, what="a parcel")[0]

    def __enter__(self) -> _Running:
        self.source.start(self.sink)
        return self

    def __exit__(self, *_: object) -> None:
        for parcel in list(self.sink.parcels):
            parcel.durable()
        self.source.stop()
        self._sender.shutdown()


def _check_columns(rows: Rows, oldest_us: int) -> None:
    assert rows.service, "rows belong to a service"
    assert rows.count > 0, "there are no empty rows"
    times_us = rows.start_us + rows.duration_us if isinstance(rows, SpanRows) else rows.time_us
    assert len(times_us) == rows.count
    newest_us = time.time_ns() // 1000 + _FUTURE_US
    assert oldest_us <= int(times_us.min()), "times are epoch microseconds, not older than the delay allows"
    assert int(times_us.max()) <= newest_us, "times are epoch microseconds, and not in the future"
