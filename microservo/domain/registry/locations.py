"""From where services are asked for: added up by second, service and place, in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from schemas.records import RequestLocations

MOST_OPEN_PLACES = 50_000
"""Places of all services in one second; with more, the second is cut in two. 18 bytes each on the log."""
MOST_KEPT_PLACES = 200_000
KEPT_US = 15 * 60 * 1_000_000


class Place(NamedTuple):
    """So many requests to a service from a place, in degrees."""

    service: str
    latitude: float
    longitude: float
    requests: int


class LocationCounts:
    """Requests by service and place since the last `close_interval`, and those of the intervals before.

    Args:
        registry: the name of who counts.
        now_us: when it begins, in epoch microseconds UTC.
        most_open: see `MOST_OPEN_PLACES`.
        most_kept: rows of closed intervals that are kept, likewise of those that wait to be written.
        kept_us: how long those of closed intervals are kept.
    """

    def __init__(
        self,
        registry: str,
        now_us: int,
        *,
        most_open: int = MOST_OPEN_PLACES,
        most_kept: int = MOST_KEPT_PLACES,
        kept_us: int = KEPT_US,
    ) -> None:
        self._registry = registry
        self._from_us = now_us
        self._most_open = most_open
        self._most_kept = most_kept
        self._kept_us = kept_us
        self._open: dict[tuple[str, float, float], int] = {}
        self._kept: deque[RequestLocations] = deque()
        self._kept_rows = 0
        self._unwritten: deque[RequestLocations] = deque()
        self._unwritten_rows = 0
        self._lost_rows = 0

    def add(self, places: Iterable[Place], now_us: int) -> None:
        """Counts requests, each as often as its place says."""
        for service, latitude, longitude, requests in places:
            key = (service, latitude, longitude)
            self._open[key] = self._open.get(key, 0) + requests
            if len(self._open) >= self._most_open:
                self.close_interval(now_us)

    def close_interval(self, now_us: int) -> None:
        """What was counted becomes one record per service, to be written."""
        for record in self._open_records(now_us):
            self._kept.append(record)
            self._unwritten.append(record)
            self._kept_rows += len(record.counts)
            self._unwritten_rows += len(record.counts)
        self._open.clear()
        # Never the same instant twice: it tells the intervals apart.
        self._from_us = max(now_us, self._from_us + 1)
        self._trim(now_us)

    def take_unwritten(self) -> list[RequestLocations]:
        """The records to be written to the log, in their order; asked again, those that came since."""
        taken, self._unwritten, self._unwritten_rows = list(self._unwritten), deque(), 0
        return taken

    def take_lost(self) -> int:
        """How many rows were given up before they were written, because there were too many; then 0."""
        lost, self._lost_rows = self._lost_rows, 0
        return lost

    def newest(self, most: int, now_us: int) -> list[tuple[int, Place]]:
        """The newest rows with the ends of their intervals, in microseconds, newest first."""
        return list(islice(self._rows_backwards(now_us), most))

    def totals(self, interval_us: int, now_us: int) -> dict[str, list[Place]]:
        """The requests of intervals that ended during the last `interval_us`, by service and exact place."""
        summed: dict[tuple[str, float, float], int] = {}
        for record in (*self._kept, *self._open_records(now_us)):
            if record.to_us > now_us - interval_us:
                for _, latitude, longitude, requests in _rows(record):
                    key = (record.service, latitude, longitude)
                    summed[key] = summed.get(key, 0) + requests
        found: dict[str, list[Place]] = {}
        for key in sorted(summed):
            found.setdefault(key[0], []).append(Place(*key, summed[key]))
        return found

    def _open_records(self, now_us: int) -> list[RequestLocations]:
        by_service: dict[str, list[tuple[float, float, int]]] = {}
        for (service, latitude, longitude), count in self._open.items():
            by_service.setdefault(service, []).append((latitude, longitude, count))
        return [
            RequestLocations(
                service=service,
                registry=self._registry,
                from_us=self._from_us,
                to_us=max(now_us, self._from_us),
                latitudes=tuple(row[0] for row in rows),
                longitudes=tuple(row[1] for row in rows),
                counts=tuple(row[2] for row in rows),
            )
            for service, rows in by_service.items()
        ]

    def _trim(self, now_us: int) -> None:
        while self._kept and (
            self._kept_rows > self._most_kept or self._kept[0].to_us <= now_us - self._kept_us
        ):
            self._kept_rows -= len(self._kept.popleft().counts)
        while self._unwritten_rows > self._most_kept:
            dropped = len(self._unwritten.popleft().counts)
            self._unwritten_rows -= dropped
            self._lost_rows += dropped

    def _rows_backwards(self, now_us: int) -> Iterator[tuple[int, Place]]:
        for record in (*reversed(self._open_records(now_us)), *reversed(self._kept)):
            for row in reversed(list(_rows(record))):
                yield record.to_us, row


def _rows(record: RequestLocations) -> Iterator[Place]:
    for row in zip(record.latitudes, record.longitudes, record.counts, strict=True):
        yield Place(record.service, *row)
