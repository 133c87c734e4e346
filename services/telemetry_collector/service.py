"""Builds the collector and runs it until SIGTERM or SIGINT."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from microservo.adapters.broker import Broker
from microservo.adapters.clock import now_us
from microservo.adapters.kafka import KafkaBroker
from microservo.domain.telemetry import Signal
from microservo.log.inventories import last_inventories
from microservo.log.publisher import source_of
from microservo.log.stamped import StampedWriter
from microservo.log.writers import declare_writer
from microservo.platforms.target import platform_of
from microservo.retry import retry
from microservo.runtime.health import HealthServer
from microservo.runtime.shutdown import Shutdown
from microservo.sources.host.sampler import host_source
from microservo.sources.inbox import Inbox
from microservo.sources.otlp.source import OtlpSource
from microservo.sources.source import TOPICS, Source
from schemas.catalogue import TELEMETRY_METRICS
from schemas.records import ServiceInventory
from services.telemetry_collector.gone import GoneServices
from services.telemetry_collector.inventories import Inventories
from services.telemetry_collector.settings import Settings
from services.telemetry_collector.shipper import Shipper
from services.telemetry_collector.topics import WRITER

logger = logging.getLogger(__name__)

_ENOUGH_RECORDS = 5000
_TICK_S = 0.1
_SWITCH_S = 0.0005
_DRAIN_S = 10.0
_DRAIN_STEP_S = 0.02
_SICK_AFTER_S = 15.0
_INVENTORIES_S = 30.0


class Collector:
    """Ships what sources give to one broker; one thread calls `run`, the others are the sources' own.

    Args:
        sources: not started yet; they are stopped with the collector.
        from_us: instant from which its writer was declared.
        gone_us: gives when services of the run were declared gone.
    """

    def __init__(
        self,
        settings: Settings,
        broker: Broker,
        clock: Callable[[], int] = now_us,
        *,
        sources: Sequence[Source],
        from_us: int = 0,
        gone_us: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self._settings = settings
        self._inbox = Inbox(
            WRITER, settings.queue_records, gather_s=settings.gather_s, enough_records=_ENOUGH_RECORDS
        )
        delay_us = max((source.delay_us for source in sources), default=0)
        inventories = Inventories(
            settings.run_id, settings.delays(), from_us=clock(), interval_us=settings.inventory_interval_us()
        )
        writers = _writers(
            settings,
            broker,
            lambda: clock() - delay_us,
            promise=lambda: min(clock() - delay_us, inventories.due_us),
            from_us=from_us,
        )
        inventories.restore(_last_inventories(settings, broker, writers["metrics"].found_at_us))
        self._shipper = Shipper(
            self._inbox,
            writers,
            broker.producer(),
            prefix=settings.topic_prefix,
            run_id=settings.run_id,
            clock=clock,
            graph_interval_s=settings.graph_interval_s,
            callee_wait_s=settings.callee_wait_s,
            window_us=round(settings.window_s * 1e6),
            inventories=inventories,
            gone_us=gone_us,
        )
        self._sources = sources
        for source in sources:
            source.start(self._inbox)

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
            self._shipper.ship(self._inbox.drain(_TICK_S))
        self._drain()

    def _drain(self) -> None:
        """Lets the requests under way be answered, which needs their rows to go on being shipped."""
        stopping = threading.Thread(target=self._stop_sources, name="stopping")
        stopping.start()
        deadline_s = time.monotonic() + _DRAIN_S
        while (stopping.is_alive() or self._inbox.records) and time.monotonic() < deadline_s:
            self._shipper.ship(self._inbox.drain(_DRAIN_STEP_S))
        stopping.join()
        self._shipper.finish()
        if self._inbox.records:
            logger.error("%d records were not taken by kafka and not acknowledged", self._inbox.records)

    def close(self) -> None:
        """Stops the sources and closes the producers."""
        self._stop_sources()
        self._shipper.close()

    def _stop_sources(self) -> None:
        for source in self._sources:
            source.stop()

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
        MicroServoError: Kafka is not there, the run is over, a port is taken, or a message could not be
            delivered.
    """
    # Between threads that have much to do; a request under way asks for a moment of the processor many times.
    sys.setswitchinterval(_SWITCH_S)
    broker = KafkaBroker(settings.kafka)
    from_us = _declared(settings, broker, shutdown)
    otlp = OtlpSource(
        settings.otlp_port, settings.otlp_grpc_port, settings.receiver_limits(), host=settings.otlp_host
    )
    platform = platform_of(settings.target_state) if settings.target_state else None
    host = host_source(platform, now_us, interval_s=settings.sample_interval_s)
    with (
        GoneServices(broker, settings.topic_prefix, settings.run_id, now_us) as gone,
        Collector(settings, broker, sources=(otlp, host), from_us=from_us, gone_us=gone) as collector,
        HealthServer(settings.health_port, collector.is_healthy),
    ):
        ports = {"port": otlp.port, "grpc_port": otlp.grpc_port}
        logger.info("taking OTLP/HTTP on port %d, OTLP/gRPC on %d", *ports.values(), extra=ports)
        collector.run(shutdown)


def _writers(
    settings: Settings,
    broker: Broker,
    clock: Callable[[], int],
    *,
    promise: Callable[[], int],
    from_us: int,
) -> dict[Signal, StampedWriter]:
    return {
        signal: StampedWriter(
            broker,
            settings.topic(name),
            writer=settings.writer,
            run_id=lambda: settings.run_id,
            clock=clock,
            promise=promise if name == TELEMETRY_METRICS else clock,
            source=source_of("telemetry_collector"),
            from_us=from_us,
        )
        for signal, name in TOPICS.items()
    }


def _last_inventories(settings: Settings, broker: Broker, until_us: int) -> list[ServiceInventory]:
    """What this collector knew last, before it was started again."""
    if not until_us:
        return []
    return retry(
        lambda: last_inventories(
            broker,
            run_id=settings.run_id,
            until_us=until_us,
            topic_prefix=settings.topic_prefix,
            writer=settings.writer,
        ),
        timeout_s=_INVENTORIES_S,
    )


def _declared(settings: Settings, broker: Broker, shutdown: Shutdown) -> int:
    """The instant from which the collector may stamp, once it has come; a sender tries again meanwhile."""

    def declare() -> int:
        return declare_writer(
            broker,
            run_id=settings.run_id,
            writer=settings.writer,
            topics=tuple(TOPICS.values()),
            process="telemetry_collector",
            clock=now_us,
            wait=shutdown.wait,
            topic_prefix=settings.topic_prefix,
        )

    return retry(declare, wait=shutdown.wait)
