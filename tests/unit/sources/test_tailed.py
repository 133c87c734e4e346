"""A store is followed from a cursor that passes nothing which is not durable."""

from __future__ import annotations

import threading
from collections.abc import Generator

import numpy as np

from microservo.domain.rows import MetricRows, coded
from microservo.errors import Retryable
from microservo.sources.source import Parcel
from microservo.sources.tailed import MemoryCursors, Page, Place, TailedSource
from microservo.testing import eventually
from microservo.testing.sources import RecordingSink


def page(number: int) -> Page:
    rows = MetricRows(
        service="shop",
        instance="a",
        time_us=np.array([number]),
        name=coded(["x"]),
        value=np.array([float(number)]),
    )
    return Page(signal="metrics", rows=(rows,), place=Place(str(number)))


class Store:
    """Pages 1, 2, ... up to `last`; the reading that reaches `broken` fails there once."""

    def __init__(self, last: int, broken: int = 0) -> None:
        self.last = last
        self.asked: list[str] = []
        self._broken = broken

    def pages(self, cursor: str) -> Generator[Page, None, None]:
        self.asked.append(cursor)
        for number in range(int(cursor or "0") + 1, self.last + 1):
            if number == self._broken:
                self._broken = 0
                msg = "the store is away"
                raise Retryable(msg)
            yield page(number)

    def close(self) -> None:
        pass


def source_of(store: Store, cursors: MemoryCursors) -> TailedSource:
    return TailedSource("store", store, cursors, interval_s=0.01, delay_us=0)


def numbers(parcels: list[Parcel]) -> list[int]:
    return [
        int(rows.time_us[0]) for parcel in parcels for rows in parcel.rows if isinstance(rows, MetricRows)
    ]


def test_each_page_is_put_once_in_order_though_a_reading_fails_in_the_middle() -> None:
    store, sink = Store(5, broken=3), RecordingSink()
    source = source_of(store, MemoryCursors())
    source.start(sink)
    eventually(lambda: len(sink.parcels) >= 5, timeout_s=10, what="five pages")
    source.stop()
    assert numbers(sink.parcels) == [1, 2, 3, 4, 5]
    assert store.asked[:2] == ["", "2"], "it goes on behind the last page that was read"


def test_the_cursor_waits_for_the_oldest_page_that_is_not_durable() -> None:
    cursors, sink = MemoryCursors(), RecordingSink()
    source = source_of(Store(4), cursors)
    source.start(sink)
    eventually(lambda: len(sink.parcels) == 4, timeout_s=10, what="four pages")
    for at in (1, 2):
        sink.parcels[at].durable()
    threading.Event().wait(0.1)
    assert cursors.place.cursor == "", "page 1 could still be lost"
    sink.parcels[0].durable()
    eventually(lambda: cursors.place.cursor == "3", timeout_s=10, what="the cursor behind page 3")
    source.stop()


def test_a_restart_reads_what_was_not_durable_again() -> None:
    cursors, sink = MemoryCursors(), RecordingSink()
    first = source_of(Store(3), cursors)
    first.start(sink)
    eventually(lambda: len(sink.parcels) == 3, timeout_s=10, what="three pages")
    sink.parcels[0].durable()
    eventually(lambda: cursors.place.cursor == "1", timeout_s=10, what="the cursor behind page 1")
    first.stop()
    again = RecordingSink()
    second = source_of(Store(3), cursors)
    second.start(again)
    eventually(lambda: len(again.parcels) == 2, timeout_s=10, what="the other two")
    second.stop()
    assert numbers(again.parcels) == [2, 3]


def test_a_page_waits_for_room_and_none_is_dropped() -> None:
    sink = RecordingSink()
    sink.is_full = True
    source = source_of(Store(3), MemoryCursors())
    source.start(sink)
    threading.Event().wait(0.2)
    assert not sink.parcels
    sink.is_full = False
    eventually(lambda: len(sink.parcels) == 3, timeout_s=10, what="all three")
    source.stop()
    assert numbers(sink.parcels) == [1, 2, 3]
