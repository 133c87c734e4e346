"""What a source of telemetry is, and what it promises; written once, for those that push and those that pull.

Held by one contract suite (`microservo.testing.sources.check_source`)::

    sender ──push──► OtlpSource ─┐
    scraped ◄─pull── PulledSource┼─ parcel ─► Sink.put ─► shipped ─► parcel.durable()
    a store ◄─read── TailedSource┘

- A parcel is all of one request or of one reading: it is accepted whole or not at all.
- A *push* source answers its sender only after the parcel is durable, so that nothing acknowledged is lost; a
  sender that gets no answer, or is refused for now, sends again.
- A *pull* source reads on an interval of its own and goes on whether the parcel before is durable or not.
  What does not fit is dropped and counted: the next reading comes soon.
- A source that *follows a store* reads on where it was left; what does not fit waits (`tailed`).
- `delay_us` is how far behind the clock a source's records are when they are put, by design: of one that
  reads what a store has gathered, the wait until the store has it. Whoever stamps what a source gave must
  not promise more than the clock less this.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from microservo.adapters.otlp.checks import Refused
from microservo.domain.rows import Rows
from microservo.domain.telemetry import Signal
from microservo.errors import Retryable
from schemas.catalogue import TELEMETRY_LOGS, TELEMETRY_METRICS, TELEMETRY_TRACES

TOPICS: dict[Signal, str] = {
    "metrics": TELEMETRY_METRICS,
    "logs": TELEMETRY_LOGS,
    "traces": TELEMETRY_TRACES,
}
"""The topic that rows of a signal are meant for, by its logical name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Undecodable:
    """A body that is no request, for the dead-letter topic."""

    raw: bytes
    content_type: str
    reason: str


def _nobody() -> None:
    """Nobody waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """All that was handed over at once.

    Args:
        refused: records that can't be used, for the dead-letter topic.
        sender: who waits until it is durable, to tell senders apart; empty where nobody does.
        durable: called once, from any thread, when Kafka has all of it.
    """

    signal: Signal
    rows: Sequence[Rows] = ()
    refused: Sequence[Refused] = ()
    undecodable: Undecodable | None = None
    sender: str = ""
    durable: Callable[[], None] = _nobody

    @property
    def records(self) -> int:
        """How much room it needs: rows and refused records; a body without any counts as one."""
        return sum(rows.count for rows in self.rows) + len(self.refused) + (self.undecodable is not None)


class SinkFull(Retryable):
    """Too many records wait to be shipped already; nothing of the parcel was accepted."""


class Sink(Protocol):
    """Where a source puts its parcels; may be called from any thread."""

    @property
    def is_full(self) -> bool:
        """Whether nothing more is accepted for now; asked before work is put into a parcel."""

    def put(self, parcel: Parcel) -> None:
        """Accepts a parcel; its `durable` is called once it is.

        Raises:
            SinkFull: it does not fit; put it again later, or drop and count it.
        """


class Source(Protocol):
    """Telemetry from one place. It is started once and stopped once."""

    @property
    def name(self) -> str:
        """For logs and metrics, for example "otlp"."""

    @property
    def delay_us(self) -> int:
        """How far behind the clock its records are when they are put."""

    def start(self, sink: Sink) -> None:
        """Begins to put parcels into the sink, from threads of its own; returns at once.

        Raises:
            Unavailable: what it needs is not there, a port for example.
        """

    def stop(self) -> None:
        """Ends, and returns when nothing more will be put; again, or before the start, it does nothing.

        Parcels that were put must go on being shipped meanwhile: a sender that waits is still answered.
        """
