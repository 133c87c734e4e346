"""Builds the collector and runs it until SIGTERM or SIGINT."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from types import TracebackType
from typing import Self

from microservo.adapters.broker import Broker
from microservo.adapters.clock import now_us
from microservo.adapters.kafka import KafkaBroker
from microservo.log.source_cursors import SourceCursors
from microservo.log.writers import declare_writer
from microservo.platforms.target import kubernetes_target, platform_of
from microservo.retry import retry
from microservo.runtime.health import HealthServer
from microservo.runtime.shutdown import Shutdown
from microservo.sources.declared import AnySource, make_source, read_source
from microservo.sources.host.sampler import host_source
from microservo.sources.inbox import Inbox
from microservo.sources.otlp.source import OtlpSource
from microservo.sources.past import read_range
from microservo.sources.source import TOPICS, Source
from services.telemetry_collector.control import control_server
from services.telemetry_collector.fault_set import FaultSet
from services.telemetry_collector.gone import GoneServices
from services.telemetry_collector.inventories import Inventories
from services.telemetry_collector.past import collect_past
from services.telemetry_collector.settings import Settings
from services.telemetry_collector.shipper import Shipper
from services.telemetry_collector.topics import WRITER
from services.telemetry_collector.writers import known_before, stamped_writers

logger = logging.getLogger(__name__)

_ENOUGH_RECORDS = 5000
_TICK_S = 0.1
_SWITCH_S = 0.0005
_DRAIN_S = 10.0
_DRAIN_STEP_S = 0.02
_SICK_AFTER_S = 15.0


class Collector:
    """Ships what sources give to one broker; one thread calls `run`, the others are the sources' own.

    Args:
        sources: not started yet; they are stopped with the collector.
        from_us: instant from which its writer was declared.
        gone_us: gives when services of the run were declared gone.

    Attributes:
        faults: what is done to the telemetry on its way; from any thread.
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

        def lagging() -> int:
            # The clock by which what a source gives is new: of what it has read, nothing is late.
            return clock() - delay_us

        inventories = Inventories(
            settings.run_id,
            settings.delays(),
            from_us=lagging(),
            interval_us=settings.inventory_interval_us(),
        )
        writers = stamped_writers(
            settings,
            broker,
            lagging,
            promise=lambda: min(lagging(), inventories.due_us),
            from_us=from_us,
        )
        self.faults = FaultSet(settings.run_id, clock, most_held=settings.queue_records)
        inventories.restore(known_before(settings, broker, writers["metrics"].found_at_us))
        self._shipper = Shipper(
            self._inbox,
            writers,
            broker.producer(),
            prefix=settings.topic_prefix,
            run_id=settings.run_id,
            clock=lagging,
            graph_interval_s=settings.graph_interval_s,
            callee_wait_s=settings.callee_wait_s,
            window_us=round(settings.window_s * 1e6),
            inventories=inventories,
            faults=self.faults,
            gone_us=gone_us,
            namespaces=_namespaces(settings),
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
    if settings.past is not None:
        collect_past(settings, broker, read_range(settings.past), shutdown)
        return
    if settings.source is not None:
        _run_source(settings, broker, read_source(settings.source), shutdown)
        return
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
        contextlib.ExitStack() as stack,
    ):
        if settings.control_port is not None:
            stack.enter_context(
                control_server(collector.faults, settings.control_port, settings.control_token, now_us)
            )
        ports = {"port": otlp.port, "grpc_port": otlp.grpc_port}
        logger.info("taking OTLP/HTTP on port %d, OTLP/gRPC on %d", *ports.values(), extra=ports)
        collector.run(shutdown)


def _namespaces(settings: Settings) -> tuple[str, ...]:
    """Those of a target in a cluster; none of another one."""
    target = kubernetes_target(settings.target_state) if settings.target_state else None
    return target.namespaces if target else ()


def _run_source(settings: Settings, broker: Broker, declared: AnySource, shutdown: Shutdown) -> None:
    """Runs a collector of one declared source; raises as `run`."""
    settings = settings.model_copy(update={"writer": declared.name})
    from_us = _declared(settings, broker, shutdown, declared)
    place = (broker, settings.topic_prefix, settings.run_id)
    with (
        closing(SourceCursors(*place, declared.name, now_us)) as cursors,
        GoneServices(*place, now_us) as gone,
        Collector(
            settings,
            broker,
            sources=(make_source(declared, now_us, cursors),),
            from_us=from_us,
            gone_us=gone,
        ) as collector,
        HealthServer(settings.health_port, collector.is_healthy),
    ):
        logger.info("reading %s as writer %s", declared.kind, declared.name)
        collector.run(shutdown)


def _declared(settings: Settings, broker: Broker, shutdown: Shutdown, source: AnySource | None = None) -> int:
    """The instant from which the collector may stamp, once it has come; a sender tries again meanwhile."""
    first_us, final_us = round(settings.first_cut_s * 1e6), round(settings.final_cut_s * 1e6)

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
            first_cut_us=source.first_cut_us(first_us) if source else None,
            final_cut_us=source.final_cut_us(final_us) if source else None,
        )

    return retry(declare, wait=shutdown.wait)
