"""What waits for Kafka: parcels of rows, bounded by the number of records."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from microservo.adapters.otlp.checks import Refused
from microservo.domain.rows import Rows
from microservo.domain.telemetry import Signal
from microservo.errors import Retryable
from microservo.runtime.metrics import QUEUE_RECORDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Undecodable:
    """A body that is no request, for the dead-letter topic."""

    raw: bytes
    content_type: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """All that one sender handed over at once; `durable` is set when Kafka has it."""

    signal: Signal
    rows: Sequence[Rows] = ()
    refused: Sequence[Refused] = ()
    undecodable: Undecodable | None = None
    durable: threading.Event = field(default_factory=threading.Event)

    @property
    def records(self) -> int:
        """How much of the bound it takes: rows and refused records; a body without any counts as one."""
        return sum(rows.count for rows in self.rows) + len(self.refused) + (self.undecodable is not None)


class InboxFull(Retryable):
    """Too many records wait for Kafka already."""


class Inbox:
    """A queue with many givers and one taker; records count against the bound until they are durable.

    Args:
        limit_records: the bound. One parcel larger than that is let in alone, or it could never be.
        hurry_records: so many waiting records end the taker's wait early.
    """

    def __init__(self, limit_records: int, hurry_records: int) -> None:
        self._limit = limit_records
        self._hurry = hurry_records
        self._changed = threading.Condition()
        self._waiting: list[Parcel] = []
        self._waiting_records = 0
        self._held: dict[Signal, int] = {"metrics": 0, "logs": 0, "traces": 0}

    @property
    def records(self) -> int:
        """Records that Kafka does not have yet."""
        return sum(self._held.values())

    @property
    def is_full(self) -> bool:
        """Whether nothing more can be put in."""
        return self.records >= self._limit

    def put(self, parcel: Parcel) -> None:
        """Queues a parcel.

        Raises:
            InboxFull: it does not fit; nothing of it was taken.
        """
        with self._changed:
            held = self.records
            if held and held + parcel.records > self._limit:
                msg = (
                    f"{held} of {self._limit} records wait for Kafka; send these {parcel.records} again later"
                )
                raise InboxFull(msg)
            self._waiting.append(parcel)
            self._waiting_records += parcel.records
            self._count(parcel, parcel.records)
            if self._waiting_records >= self._hurry:
                self._changed.notify()

    def take(self, timeout_s: float) -> list[Parcel]:
        """All that waits, after `timeout_s` or as soon as it is much."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting_records >= self._hurry, timeout_s)
            taken, self._waiting = self._waiting, []
            self._waiting_records = 0
            return taken

    def settle(self, parcels: Sequence[Parcel]) -> None:
        """Frees the room of parcels that are durable and tells who waits for them."""
        with self._changed:
            for parcel in parcels:
                self._count(parcel, -parcel.records)
        for parcel in parcels:
            parcel.durable.set()

    def _count(self, parcel: Parcel, records: int) -> None:
        self._held[parcel.signal] += records
        QUEUE_RECORDS.labels(f"telemetry-collector/{parcel.signal}").set(self._held[parcel.signal])
