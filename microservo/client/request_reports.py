"""Requests that a registry was not asked for one by one, counted here and told it together."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from functools import partial

from microservo.application.registry import Registries, RegistryApi
from microservo.domain.geography import Coordinates
from microservo.domain.registry.documents import MOST_LOCATIONS, LocationDocument, LocationsDocument
from microservo.errors import MicroServoError

logger = logging.getLogger(__name__)

REPORT_S = 1.0
MOST_PLACES = 100_000

_Key = tuple[str, Coordinates | None]


class RequestReports:
    """Counts requests by service and place, and reports them from a thread of its own.

    Args:
        registries: whom to report to.
        report_s: seconds between two reports.

    Attributes:
        lost: requests that were given up, because no registry answered for long or it refused them.
    """

    def __init__(self, registries: Registries, *, report_s: float = REPORT_S) -> None:
        self._registries = registries
        self._report_s = report_s
        self._lock = threading.Lock()
        self._counts: dict[_Key, int] = {}
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self.lost = 0

    def count(self, service: str, place: Coordinates | None, requests: int = 1) -> None:
        """Counts requests to a service from a place; where none is given, from where the registry is."""
        with self._lock:
            key = (service, place)
            if key not in self._counts and len(self._counts) >= MOST_PLACES:
                self.lost += requests
                return
            self._counts[key] = self._counts.get(key, 0) + requests
            if self._thread is None and not self._closed.is_set():
                self._thread = threading.Thread(target=self._run, name="request-reports", daemon=True)
                self._thread.start()

    def flush(self) -> None:
        """Reports what was counted; what no registry takes for now is reported next time."""
        with self._lock:
            counts, self._counts = self._counts, {}
        for rows in _chunks(counts):
            documents = LocationsDocument([_document(key, requests) for key, requests in rows])
            try:
                self._registries.ask(partial(RegistryApi.report, locations=documents))
            except MicroServoError as error:
                logger.warning("%d places of requests are not reported yet: %s", len(rows), error)
                for (service, place), requests in rows:
                    self.count(service, place, requests)

    def close(self) -> None:
        """Reports the rest; a second call does nothing."""
        if self._closed.is_set():
            return
        self._closed.set()
        if self._thread is not None:
            self._thread.join()
        self.flush()

    def _run(self) -> None:
        while not self._closed.wait(self._report_s):
            self.flush()


def _chunks(counts: dict[_Key, int]) -> Iterator[list[tuple[_Key, int]]]:
    rows = list(counts.items())
    for start in range(0, len(rows), MOST_LOCATIONS):
        yield rows[start : start + MOST_LOCATIONS]


def _document(key: _Key, requests: int) -> LocationDocument:
    service, place = key
    if place is None:
        return LocationDocument(service=service, count=requests)
    return LocationDocument(
        service=service, latitude=place.latitude, longitude=place.longitude, count=requests
    )
