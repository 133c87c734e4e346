"""The sink of a process that ships: parcels wait there, bounded by the number of their records."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from microservo.domain.telemetry import Signal
from microservo.runtime.metrics import QUEUE_RECORDS
from microservo.sources.source import Parcel, SinkFull


class Inbox:
    """A queue that many put into and one empties; records count against the bound until they are durable.

    Args:
        name: of the process, in the metrics.
        limit_records: the bound. One parcel larger than that is let in alone, or it could never be.
        hurry_records: so many waiting records end the wait for more early.
    """

    def __init__(self, name: str, limit_records: int, hurry_records: int) -> None:
        self._limit = limit_records
        self._hurry = hurry_records
        self._changed = threading.Condition()
        self._waiting: list[Parcel] = []
        self._waiting_records = 0
        self._held: dict[Signal, int] = {"metrics": 0, "logs": 0, "traces": 0}
        self._gauges = {signal: QUEUE_RECORDS.labels(f"{name}/{signal}") for signal in self._held}

    @property
    def records(self) -> int:
        """Records that Kafka does not have yet."""
        return sum(self._held.values())

    @property
    def is_full(self) -> bool:
        return self.records >= self._limit

    def put(self, parcel: Parcel) -> None:
        with self._changed:
            held, records = self.records, parcel.records
            if held and held + records > self._limit:
                msg = f"{held} of {self._limit} records wait for Kafka; send these {records} again later"
                raise SinkFull(msg)
            self._waiting.append(parcel)
            self._waiting_records += records
            self._count(parcel.signal, records)
            if self._waiting_records >= self._hurry:
                self._changed.notify()

    def drain(self, timeout_s: float) -> list[Parcel]:
        """Removes and returns all that waits, after `timeout_s` or as soon as it is much."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting_records >= self._hurry, timeout_s)
            drained, self._waiting = self._waiting, []
            self._waiting_records = 0
            return drained

    def settle(self, parcels: Sequence[Parcel]) -> None:
        """Frees the room of parcels that are durable and notifies those that wait for them."""
        with self._changed:
            for parcel in parcels:
                self._count(parcel.signal, -parcel.records)
        for parcel in parcels:
            parcel.durable()

    def _count(self, signal: Signal, records: int) -> None:
        self._held[signal] += records
        self._gauges[signal].set(self._held[signal])
