"""Messages in, measured effects out."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from microservo.adapters.broker import Message, Partition
from microservo.domain.effects import EffectObserver
from microservo.domain.telemetry import Batch
from microservo.domain.watermarks import UNKNOWN, Watermarks
from microservo.domain.window_policy import WindowPolicy
from microservo.errors import InvalidMessage
from microservo.log.publisher import Publisher
from microservo.runtime.metrics import RECORDS_TOTAL
from schemas import catalogue
from schemas.codec import SchemaError, decode, decode_as
from schemas.envelope import Stamp
from schemas.records import Experiment, FaultEffect, FaultVerdict, ServiceFault

logger = logging.getLogger(__name__)

ADVANCE_US = 200_000
"""How often effects are looked for, by the clock."""
FLUSH_TIMEOUT_S = 5.0
_SERVICE = "effect-observer"
_LONGEST_QUIET_US = 60_000_000
READ = (
    catalogue.TELEMETRY_METRICS,
    catalogue.TELEMETRY_LOGS,
    catalogue.TELEMETRY_TRACES,
    catalogue.SERVICE_FAULTS,
)
"""Joined topics that are read, by logical name."""


@dataclass(slots=True)
class Progress:
    """Up to where what was measured is on the broker, in microseconds UTC; later effects are yet to come."""

    until_us: int = 0


class Handlers:
    """What the observer's loop does with messages, and with time; a message that is given twice counts once.

    Args:
        observer: measures.
        publisher: writes what it finds.
        run_id: the run that is observed; messages of others are passed over.
        topic: the physical name of a topic of the contract.
        partitions: how many each joined topic has.
        progress: moved on by `advance`.
        policy: the cuts of writers that nobody declared.
        clock: epoch microseconds UTC.
    """

    def __init__(
        self,
        *,
        observer: EffectObserver,
        publisher: Publisher,
        run_id: str,
        topic: Callable[[str], str],
        partitions: int,
        progress: Progress,
        policy: WindowPolicy,
        clock: Callable[[], int],
    ) -> None:
        self._observer = observer
        self._publisher = publisher
        self._run_id = run_id
        self._sources = {topic(source): source for source in READ}
        self._runs_topic = topic(catalogue.EXPERIMENTS)
        self._clock = clock
        self._progress = progress
        self._first_cut_us = policy.first_cut_us
        self._watermarks = [
            Watermarks(READ, first_cut_us=policy.first_cut_us, final_cut_us=policy.final_cut_us)
            for _ in range(partitions)
        ]
        self._next: dict[Partition, int] = {}
        self._outbox: deque[FaultEffect | FaultVerdict] = deque()
        self._advanced_at_us = 0
        self.rejected = 0
        """Messages that could not be read so far."""
        self._reported_at_us = 0

    def update_run(self, run: Experiment) -> None:
        """Updates who writes in the run."""
        if run.run_id == self._run_id:
            self._first_cut_us = run.first_cut_us
            writers = [each for each in run.writers if each.topic in READ]
            for watermarks in self._watermarks:
                watermarks.declare(writers)

    def handle(self, batch: Sequence[Message]) -> None:
        """Processes messages; what can't be read is counted, and what follows flows on."""
        for message in batch:
            partition = Partition(message.topic, message.partition)
            if message.offset < self._next.get(partition, 0):
                continue
            try:
                self._process(message)
            except (InvalidMessage, SchemaError) as error:
                self._reject(message, str(error))
            self._next[partition] = message.offset + 1

    def advance(self) -> None:
        """Looks for effects if it is time, and returns once what changed is durable.

        Raises:
            Retryable: the broker is busy; what was not published yet is at the next call.
        """
        now_us = self._clock()
        # A clock that was set back must not stop the observer.
        if 0 <= now_us - self._advanced_at_us < ADVANCE_US:
            return
        self._advanced_at_us = now_us
        watermark_us = min(watermarks.advance().first_us for watermarks in self._watermarks)
        if watermark_us == UNKNOWN:
            return
        self._outbox.extend(self._observer.advance(watermark_us))
        while self._outbox:
            self._publisher.publish(self._outbox[0])
            self._outbox.popleft()
            RECORDS_TOTAL.labels(_SERVICE, catalogue.FAULT_EFFECTS, "out").inc()
        self._publisher.flush(FLUSH_TIMEOUT_S, catalogue.FAULT_EFFECTS)
        self._progress.until_us = watermark_us + self._first_cut_us

    def _process(self, message: Message) -> None:
        if message.topic == self._runs_topic:
            if message.value is not None:
                self.update_run(decode_as(Experiment, message.value))
            return
        stamp = _stamp(message)
        if stamp.run != self._run_id:
            return
        source = self._sources[message.topic]
        self._watermarks[message.partition].observe(source, stamp)
        if message.value is None:
            return
        record = decode(message.value)
        if isinstance(record, ServiceFault):
            self._observer.fault(record)
        elif isinstance(record, Batch):
            self._observer.telemetry(record)
        RECORDS_TOTAL.labels(_SERVICE, source, "in").inc()

    def _reject(self, message: Message, reason: str) -> None:
        RECORDS_TOTAL.labels(_SERVICE, message.topic, "rejected").inc()
        self.rejected += 1
        now_us = self._clock()
        if not 0 <= now_us - self._reported_at_us < _LONGEST_QUIET_US:
            self._reported_at_us = now_us
            logger.warning(
                "%d messages could not be read so far, the last is %s[%d] at %d: %s",
                *(self.rejected, message.topic, message.partition, message.offset, reason),
            )


def _stamp(message: Message) -> Stamp:
    try:
        return Stamp.read(message.headers)
    except ValueError as error:
        raise InvalidMessage(str(error)) from error
