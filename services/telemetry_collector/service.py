"""Builds the collector and runs it until it is told to stop."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from microservo.adapters.broker import Broker
from microservo.adapters.clock import now_us
from microservo.adapters.kafka import KafkaBroker
from microservo.domain.rows import MetricRows
from microservo.log.stamped import StampedWriter
from microservo.runtime.health import HealthServer
from microservo.runtime.metrics import RECORDS_TOTAL
from microservo.runtime.shutdown import Shutdown
from microservo.runtime.wsgi import WsgiServer
from services.telemetry_collector.inbox import Inbox, InboxFull, Parcel
from services.telemetry_collector.receiver import Receiver
from services.telemetry_collector.sampling import Sampler, Ticker
from services.telemetry_collector.settings import Settings
from services.telemetry_collector.shipper import Shipper
from services.telemetry_collector.topics import SOURCE, TOPICS, WRITER

logger = logging.getLogger(__name__)

_HURRY_RECORDS = 5000
_CONNECTIONS = 1000
# A request of 512 spans is some 80 KB; the default of 8 KB would take it in by ten turns of the loop.
_RECEIVE_BYTES = 128 * 1024
_DRAIN_S = 10.0
_DRAIN_STEP_S = 0.02
_SICK_AFTER_S = 15.0

Sample = Callable[[], list[MetricRows]]


class Collector:
    """The whole service on one broker; one thread calls `run`, the others are its own.

    Args:
        sample: what is put on the metrics' topic at each interval; by default what the target's processes
            and the host use.
    """

    def __init__(
        self,
        settings: Settings,
        broker: Broker,
        clock: Callable[[], int] = now_us,
        *,
        sample: Sample | None = None,
    ) -> None:
        self._settings = settings
        self._inbox = Inbox(settings.queue_records, min(_HURRY_RECORDS, settings.queue_records))
        self._shipper = _shipper(settings, broker, clock, self._inbox)
        self._receiver = Receiver(
            self._inbox,
            clock,
            answer_timeout_s=settings.answer_timeout_s,
            limit_bytes=settings.otlp_body_bytes,
            limit_records=settings.otlp_body_records,
        )
        self._server = WsgiServer(
            self._receiver,
            port=settings.otlp_port,
            threads=settings.otlp_threads,
            # Waitress takes for too large what has just so many.
            max_request_body_size=settings.otlp_body_bytes + 1,
            connection_limit=_CONNECTIONS,
            asyncore_use_poll=True,
            recv_bytes=_RECEIVE_BYTES,
            ident=None,
        )
        self.port = self._server.port
        take_sample = sample or Sampler(settings.target_state, clock).sample
        self._ticker = Ticker(lambda: self._put(take_sample()), settings.sample_interval_s)

    @property
    def queued_records(self) -> int:
        """Records that Kafka does not have yet."""
        return self._inbox.records

    def is_healthy(self) -> bool:
        """Whether Kafka has taken what came in lately."""
        return time.monotonic() - self._shipper.durable_at_s < _SICK_AFTER_S

    def run(self, shutdown: Shutdown) -> None:
        """Ships what comes in until shutdown, then answers and ships the rest.

        Raises:
            Fatal: a message could not be delivered; a restart takes up where Kafka is.
        """
        while not shutdown.requested:
            self._shipper.ship(self._inbox.take(self._settings.flush_interval_s))
        self._drain()

    def _drain(self) -> None:
        """Lets the requests under way be answered, which needs their rows to go on being shipped."""
        self._receiver.refuse_more()
        self._ticker.close()
        closing = threading.Thread(target=self._server.close, name="closing")
        closing.start()
        deadline_s = time.monotonic() + _DRAIN_S
        while (closing.is_alive() or self._inbox.records) and time.monotonic() < deadline_s:
            self._shipper.ship(self._inbox.take(_DRAIN_STEP_S))
        closing.join()
        if self._inbox.records:
            logger.error("%d records were not taken by kafka and not acknowledged", self._inbox.records)

    def close(self) -> None:
        """Stops the threads and closes the producers."""
        self._ticker.close()
        self._server.close()
        self._shipper.close()

    def _put(self, sample: list[MetricRows]) -> None:
        parcel = Parcel(signal="metrics", rows=sample)
        try:
            self._inbox.put(parcel)
        except InboxFull as error:
            RECORDS_TOTAL.labels(WRITER, TOPICS["metrics"], "dropped").inc(parcel.records)
            logger.warning("a sample of the processes is dropped: %s", error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def run(settings: Settings, shutdown: Shutdown) -> None:
    """Runs the collector until shutdown.

    Raises:
        MicroServoError: Kafka is not there, or a message could not be delivered.
    """
    broker = KafkaBroker(settings.kafka)
    with Collector(settings, broker) as collector, HealthServer(settings.health_port, collector.is_healthy):
        logger.info("taking OTLP on port %d", collector.port, extra={"port": collector.port})
        collector.run(shutdown)


def _shipper(settings: Settings, broker: Broker, clock: Callable[[], int], inbox: Inbox) -> Shipper:
    writers = {
        signal: StampedWriter(
            broker,
            settings.topic(name),
            writer=WRITER,
            run_id=lambda: settings.run_id,
            clock=clock,
            source=SOURCE,
        )
        for signal, name in TOPICS.items()
    }
    return Shipper(
        inbox,
        writers,
        broker.producer(),
        prefix=settings.topic_prefix,
        run_id=settings.run_id,
        clock=clock,
        graph_interval_s=settings.graph_interval_s,
    )
