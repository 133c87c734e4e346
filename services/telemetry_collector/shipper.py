"""Parcels to Kafka: packed, stamped, flushed, and only then settled."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from prometheus_client import Counter

from microservo.adapters.broker import Producer
from microservo.domain.rows import MetricRows, SpanRows
from microservo.domain.telemetry import Signal, record_count
from microservo.errors import MicroServoError, Retryable
from microservo.log.dead_letters import DeadLetters
from microservo.log.publisher import Publisher
from microservo.log.stamped import StampedWriter
from microservo.retry import retry
from microservo.runtime.metrics import MESSAGES_TOTAL, RECORDS_TOTAL, RETRIES_TOTAL, STAGE_LATENCY_SECONDS
from microservo.sources.inbox import Inbox
from microservo.sources.source import TOPICS, Parcel
from services.telemetry_collector.call_counter import CallCounter
from services.telemetry_collector.callees import Callees
from services.telemetry_collector.fault_set import FaultSet
from services.telemetry_collector.instances import Instances
from services.telemetry_collector.inventories import Inventories
from services.telemetry_collector.packer import Packed, Packer
from services.telemetry_collector.topics import WRITER

logger = logging.getLogger(__name__)

_FLUSH_TIMEOUT_S = 5.0
_LONGEST_PAUSE_S = 0.5


@dataclass(frozen=True, slots=True)
class _Counts:
    """What is counted of one topic, found once: with each body it would take as long as some of the work."""

    records_in: Counter
    rejected: Counter
    records_out: Counter
    messages_out: Counter

    @classmethod
    def of(cls, topic: str) -> _Counts:
        return cls(
            RECORDS_TOTAL.labels(WRITER, topic, "in"),
            RECORDS_TOTAL.labels(WRITER, topic, "rejected"),
            RECORDS_TOTAL.labels(WRITER, topic, "out"),
            MESSAGES_TOTAL.labels(WRITER, topic, "out"),
        )


class Shipper:
    """Owns the producers; belongs to one thread.

    Args:
        writers: the stamped writer of each signal.
        producer: for what is not stamped: dead letters and the service graph.
        prefix: what stands before the logical names of topics.
        graph_interval_s: seconds between records of the service graph.
        callee_wait_s: how long spans may wait for those of a callee that is not known.
        window_us: length of a window.
        inventories: what is known of services so far.
        faults: on telemetry; parcels pass through them.
        gone_us: gives when services were declared gone.
        namespaces: those of a target in a cluster.
    """

    def __init__(
        self,
        inbox: Inbox,
        writers: Mapping[Signal, StampedWriter],
        producer: Producer,
        *,
        prefix: str,
        run_id: str,
        clock: Callable[[], int],
        graph_interval_s: float,
        callee_wait_s: float,
        window_us: int,
        inventories: Inventories,
        faults: FaultSet,
        gone_us: Callable[[], Mapping[str, int]],
        namespaces: Collection[str] = (),
    ) -> None:
        self._inbox = inbox
        self._writers = tuple(writers.values())
        self._producer = producer
        self._publisher = Publisher(
            producer,
            "telemetry_collector",
            prefix=prefix,
            clock=clock,
            writers={TOPICS[signal]: writer for signal, writer in writers.items()},
        )
        self._dead_letters = DeadLetters(producer, prefix)
        self._run_id = run_id
        self._clock = clock
        self._packer = Packer(run_id, watched_from_us=clock(), window_us=window_us)
        self._graph_interval_us = int(graph_interval_s * 1_000_000)
        self._graph_due_us = clock() + self._graph_interval_us
        self._instances = Instances(namespaces)
        self._callees = Callees(callee_wait_s)
        self._waiting: list[Parcel] = []
        self._calls = CallCounter(self._packer.peers, clock())
        self._inventories = inventories
        self._faults = faults
        self._gone_us = gone_us
        self._unsettled: list[Parcel] = []
        self._counts = {signal: _Counts.of(topic) for signal, topic in TOPICS.items()}
        self.durable_at_s = time.monotonic()
        """When Kafka last had all that was sent, on the monotonic clock."""

    def ship(self, parcels: Sequence[Parcel]) -> None:
        """Sends parcels and settles all that became durable; what did not is settled by a later call.

        Spans whose callees are not known yet are sent by a later call, too.

        Raises:
            Fatal: a message could not be delivered; no sender was told that it was.
        """
        started_s = time.perf_counter()
        self._publish_inventories()
        for parcel in parcels:
            self._count_in(parcel)
        parcels = self._through_faults(list(map(self._instances.placed, parcels)))
        # Metrics and logs call nobody.
        parcels, self._waiting = self._callees.resolve((*self._waiting, *parcels), started_s)
        self._unsettled += parcels
        for parcel in parcels:
            self._dead_letter(parcel)
            for rows in parcel.rows:
                if isinstance(rows, SpanRows):
                    self._calls.add(rows)
                elif isinstance(rows, MetricRows) and rows.is_metered:
                    self._inventories.add_metered(rows.service, rows.name.names)
        for packed in self._packer.pack((rows for parcel in parcels for rows in parcel.rows), self._clock()):
            self._send(packed)
        self._housekeeping()
        self._settle()
        if parcels:
            STAGE_LATENCY_SECONDS.labels("telemetry-flush").observe(time.perf_counter() - started_s)

    def finish(self) -> None:
        """Publishes what would have been due later: what was held back, who called whom, and who is new.

        Raises as `ship`.
        """
        for active in self._faults:
            self._faults.remove(active.name)
        self.ship(())
        self._publish_calls(self._clock())
        self._settle()

    def close(self) -> None:
        """Flushes and closes every producer."""
        for writer in self._writers:
            writer.close()
        self._producer.close()

    def _send(self, packed: Packed) -> None:
        self._until_taken(lambda: self._publisher.publish(packed.batch))
        self._inventories.observe(packed.batch, self._clock())
        counts = self._counts[packed.signal]
        counts.records_out.inc(record_count(packed.batch))
        counts.messages_out.inc()

    def _count_in(self, parcel: Parcel) -> None:
        counts = self._counts[parcel.signal]
        counts.records_in.inc(parcel.records - (parcel.undecodable is not None))
        counts.rejected.inc(len(parcel.refused))

    def _through_faults(self, parcels: list[Parcel]) -> list[Parcel]:
        """What goes on of parcels by the faults that are in force, and what these let go by now.

        The number of what was lost is on its topic before its sender is answered.
        """
        if self._faults.is_idle:
            return parcels
        passed = list(map(self._faults.pass_on, parcels))
        for before, after in zip(parcels, passed, strict=True):
            self._inbox.resize(after.signal, after.records - before.records)
        for parcel in self._faults.let_go():
            self._inbox.resize(parcel.signal, parcel.records)
            passed.append(parcel)
        for loss in self._faults.drain_losses():
            self._until_taken(partial(self._publisher.publish, loss))
        return passed

    def _dead_letter(self, parcel: Parcel) -> None:
        topic = TOPICS[parcel.signal]
        for refused in parcel.refused:
            self._reject(topic, refused.document, refused.reason, refused.content_type)
        if parcel.undecodable is not None:
            body = parcel.undecodable
            self._reject(topic, body.raw, body.reason, body.content_type)

    def _reject(self, topic: str, raw: bytes, reason: str, content_type: str) -> None:
        self._until_taken(lambda: self._dead_letters.reject_bytes(topic, raw, reason, content_type))

    def _housekeeping(self) -> None:
        """Heartbeats; the service graph, and who is new, when they are due."""
        for writer in self._writers:
            self._until_taken(writer.tick)
        now_us = self._clock()
        if now_us >= self._graph_due_us:
            self._publish_calls(now_us)

    def _publish_inventories(self) -> None:
        """Before anything that promises more than the instant they are due at."""
        now_us = self._clock()
        if now_us < self._inventories.due_us:
            return
        self._inventories.forget(self._gone_us())
        for inventory in self._inventories.due(now_us):
            self._until_taken(partial(self._publisher.publish, inventory))
            self._counts["metrics"].messages_out.inc()

    def _publish_calls(self, now_us: int) -> None:
        """The service graph, and who is new."""
        # From now, not from when it was due: after a long stall one record is enough.
        self._graph_due_us = now_us + self._graph_interval_us
        self._calls.add_links(self._callees.drain_links())
        graph = self._calls.drain(self._run_id, now_us)
        for record in (*self._instances.drain(self._run_id, now_us), *([graph] if graph else [])):
            self._until_taken(partial(self._publisher.publish, record))

    def _settle(self) -> None:
        """Waits until all that was sent is durable, and answers the senders that wait for it."""
        try:
            self._publisher.flush(_FLUSH_TIMEOUT_S)
        except Retryable as error:
            self._count(error)
            return
        self._inbox.settle(self._unsettled)
        self._unsettled = []
        self.durable_at_s = time.monotonic()

    def _until_taken(self, send: Callable[[], None]) -> None:
        """Sends again while the producer's queue is full; a broker that stays away ends this with Fatal."""
        try:
            # Nearly always enough, and thousands of times a second.
            send()
        except Retryable as error:
            self._count(error)
            retry(send, longest_pause_s=_LONGEST_PAUSE_S, on_failure=self._count)

    def _count(self, error: MicroServoError) -> None:
        RETRIES_TOTAL.labels("flush").inc()
        logger.warning("kafka does not take telemetry for now: %s", error)
