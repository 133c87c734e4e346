"""The sink of a process that ships: parcels wait there, bounded by the number of their records."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from microservo.domain.telemetry import Signal
from microservo.runtime.metrics import QUEUE_RECORDS
from microservo.sources.senders import Senders
from microservo.sources.source import Parcel, SinkFull


class Inbox:
    """A queue that many put into and one empties; records count against the bound until they are durable.

    What waits is handed out as soon as nobody is worth waiting for: when all wait that come again as soon as
    they are answered (`senders`), or a sender is alone, or enough records wait. Only those that send on an
    interval wait a moment for others, or each would cost messages of its own. While parcels are on their way,
    the next gather by themselves.

    Args:
        name: of the process, in the metrics.
        limit_records: the bound. One parcel larger than that is let in alone, or it could never be.
        gather_s: how long that moment is.
        enough_records: so many waiting records end that wait.
    """

    def __init__(self, name: str, limit_records: int, *, gather_s: float, enough_records: int) -> None:
        self._limit = limit_records
        self._gather_s = gather_s
        self._enough = enough_records
        self._senders = Senders()
        self._waiting_eager = 0
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
            if parcel.sender:
                self._waiting_eager += self._senders.note_parcel(parcel.sender, time.monotonic())
            self._waiting.append(parcel)
            self._waiting_records += records
            self._count(parcel.signal, records)
            if len(self._waiting) == 1 or self._is_enough():
                self._changed.notify()

    def drain(self, timeout_s: float) -> list[Parcel]:
        """Removes and returns all that waits, as soon as there is something; [] after `timeout_s`."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._waiting, timeout_s):
                return []
            self._senders.forget_old(time.monotonic())
            self._changed.wait_for(self._is_enough, self._gather_s)
            drained, self._waiting = self._waiting, []
            self._waiting_records = self._waiting_eager = 0
            return drained

    def resize(self, signal: Signal, records: int) -> None:
        """Has what was drained count as so many records more, or fewer, than when it was put."""
        with self._changed:
            self._count(signal, records)

    def settle(self, parcels: Sequence[Parcel]) -> None:
        """Frees the room of parcels that are durable and notifies those that wait for them."""
        with self._changed:
            now_s = time.monotonic()
            for parcel in parcels:
                self._count(parcel.signal, -parcel.records)
                if parcel.sender:
                    self._senders.note_answer(parcel.sender, now_s)
        for parcel in parcels:
            parcel.durable()

    def _is_enough(self) -> bool:
        if self._waiting_records >= self._enough:
            return True
        if self._senders.eager:
            return self._waiting_eager >= self._senders.eager
        return len(self._waiting) >= self._senders.known

    def _count(self, signal: Signal, records: int) -> None:
        self._held[signal] += records
        self._gauges[signal].set(self._held[signal])
