"""The process: requests as a group, observations on its own, workers for the target, one loop for all."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TypeVar

from microservo.adapters.broker import Broker, Consumer, Partition, Producer
from microservo.adapters.clock import now_us
from microservo.adapters.kafka import KafkaBroker
from microservo.domain.faults.decider import InjectorState
from microservo.errors import InvalidInput, MicroServoError, Retryable
from microservo.log.dead_letters import DeadLetters
from microservo.log.publisher import Publisher, source_of
from microservo.log.reader import positions, read_state
from microservo.log.stamped import StampedWriter
from microservo.log.writers import INJECTOR_WRITER, declare_writer
from microservo.platforms.platform import Platform
from microservo.platforms.target import platform_of
from microservo.retry import retry
from microservo.runtime.health import HealthServer
from microservo.runtime.loop import consume_loop
from microservo.runtime.pulse import Pulse
from microservo.runtime.shutdown import Shutdown
from schemas.catalogue import EXPERIMENTS, FAULT_EFFECTS, FAULT_REQUESTS, SERVICE_FAULTS, SERVICE_GRAPH
from schemas.records import Experiment
from services.fault_injector.fault_free import FaultFreeTime
from services.fault_injector.handlers import Handlers
from services.fault_injector.injector import Injector
from services.fault_injector.others import OthersFaults
from services.fault_injector.performing import Performer, ThreadWorkers, Workers
from services.fault_injector.publishing import FLUSH_TIMEOUT_S, FaultPublisher
from services.fault_injector.restart import read_back
from services.fault_injector.scheduling import Scheduler
from services.fault_injector.settings import FaultInjectorSettings

logger = logging.getLogger(__name__)

T = TypeVar("T")

WRITER = INJECTOR_WRITER
POLL_TIMEOUT_S = 0.01
"""The longest that a confirmation waits for the loop: a part of every label's latency."""
LINGER_MS = 1
LOOK_BACK_US = 120_000_000
SHUTDOWN_S = 4.0
"""How long faults may take to end at shutdown, before the supervisor kills the process; the rest is repaired
by the next start."""


def run(
    settings: FaultInjectorSettings,
    shutdown: Shutdown,
    *,
    broker: Broker | None = None,
    platform: Platform | None = None,
    clock: Callable[[], int] = now_us,
) -> None:
    """Carries out fault requests until shutdown, then ends every fault.

    Raises:
        Unavailable: no broker answers.
        Fatal: what a restart may mend.
    """
    broker = broker or KafkaBroker(settings.kafka)
    platform = platform or platform_of(settings.target_state, clock=clock)
    pulse = Pulse()
    with ExitStack() as stack:
        stack.enter_context(HealthServer(settings.health_port, pulse.is_alive))
        producer = stack.enter_context(broker.producer(linger_ms=LINGER_MS))
        writer = stack.enter_context(
            _retry_until_shutdown(shutdown, lambda: _writer(settings, broker, clock, shutdown))
        )

        def workers(performer: Performer) -> Workers:
            made = ThreadWorkers(performer)
            stack.callback(made.close)
            return made

        injector = _retry_until_shutdown(
            shutdown,
            lambda: start(
                settings,
                broker=broker,
                producer=producer,
                writer=writer,
                platform=platform,
                workers=workers,
                clock=clock,
            ),
        )
        scheduler = scheduler_of(settings, producer, clock)
        schedules = _retry_until_shutdown(shutdown, lambda: scheduler.catch_up(broker, settings.topic))
        handlers = _handlers(
            settings, injector=injector, scheduler=scheduler, broker=broker, producer=producer, clock=clock
        )
        observed = stack.enter_context(
            _retry_until_shutdown(
                shutdown,
                lambda: observations(settings, broker, injector.observed_since_us(LOOK_BACK_US), schedules),
            )
        )
        others = OthersFaults(
            producer,
            injector.knows,
            topic_prefix=settings.topic_prefix,
            run_from_us=injector.run_from_us,
            clock=clock,
        )
        stack.enter_context(platform.watch(injector.instance_changed))
        stack.enter_context(platform.watch_faults(others.seen, left=injector.left_by_others))

        def housekeeping() -> None:
            handlers.observations(observed)
            others.send()
            injector.tick()
            scheduler.tick()
            writer.tick()
            pulse.beat()

        requests = broker.consumer(group_id=settings.group_id)
        requests.subscribe([settings.topic(FAULT_REQUESTS)])
        consume_loop(
            requests, handlers.requests, shutdown=shutdown, timeout_s=POLL_TIMEOUT_S, on_idle=housekeeping
        )
        _end_all(injector, writer)
        producer.flush(FLUSH_TIMEOUT_S)


def start(
    settings: FaultInjectorSettings,
    *,
    broker: Broker,
    producer: Producer,
    writer: StampedWriter,
    platform: Platform,
    workers: Callable[[Performer], Workers],
    clock: Callable[[], int],
) -> Injector:
    """The injector, going on where earlier processes stopped.

    Raises:
        InvalidInput: a topic is missing.
        Retryable: the broker is busy.
    """
    left = read_back(broker, settings.topic, clock)
    run = read_state(broker, settings.topic(EXPERIMENTS), Experiment).get(settings.run_id)
    publisher = FaultPublisher(
        Publisher(
            producer,
            "fault_injector",
            prefix=settings.topic_prefix,
            clock=clock,
            writers={SERVICE_FAULTS: writer},
        ),
        clock,
    )
    publisher.begin_at(left.stored, left.ends)
    injector = Injector(
        state=InjectorState(
            run_id=settings.run_id,
            run_from_us=0 if run is None else run.started_at_us,
            outside=settings.outside_services,
        ),
        platform=platform,
        publisher=publisher,
        workers=workers,
        clock=clock,
    )
    injector.resume(left.faults)
    return injector


def scheduler_of(settings: FaultInjectorSettings, producer: Producer, clock: Callable[[], int]) -> Scheduler:
    """Who requests the faults of schedules."""
    publisher = Publisher(producer, "fault_injector", prefix=settings.topic_prefix, clock=clock)
    return Scheduler(publisher, clock)


def _retry_until_shutdown(shutdown: Shutdown, make: Callable[[], T]) -> T:
    """What `make` returns as soon as it succeeds; right after a start the broker may need a moment."""
    return retry(
        make,
        wait=shutdown.wait,
        on_failure=lambda error: logger.warning("starting failed for now: %s", error),
    )


def _writer(
    settings: FaultInjectorSettings, broker: Broker, clock: Callable[[], int], shutdown: Shutdown
) -> StampedWriter:
    try:
        from_us = declare_writer(
            broker,
            run_id=settings.run_id,
            writer=WRITER,
            topics=(SERVICE_FAULTS,),
            process="fault_injector",
            clock=clock,
            wait=shutdown.wait,
            topic_prefix=settings.topic_prefix,
        )
    except InvalidInput as error:
        # What an earlier process left in force must be ended, whether or not a window still says so.
        logger.warning("service faults are in no window: %s", error)
        from_us = 0
    return StampedWriter(
        broker,
        settings.topic(SERVICE_FAULTS),
        writer=WRITER,
        run_id=lambda: settings.run_id,
        clock=clock,
        source=source_of("fault_injector"),
        from_us=from_us,
        linger_ms=LINGER_MS,
    )


def _handlers(
    settings: FaultInjectorSettings,
    *,
    injector: Injector,
    scheduler: Scheduler,
    broker: Broker,
    producer: Producer,
    clock: Callable[[], int],
) -> Handlers:
    return Handlers(
        injector=injector,
        scheduler=scheduler,
        dead_letters=DeadLetters(producer, settings.topic_prefix),
        producer=producer,
        fault_free=FaultFreeTime(
            broker, run_id=settings.run_id, clock=clock, topic_prefix=settings.topic_prefix
        ),
        topic=settings.topic,
        run_id=settings.run_id,
        clock=clock,
    )


def observations(
    settings: FaultInjectorSettings, broker: Broker, since_us: int, schedules: Mapping[Partition, int]
) -> Consumer:
    """A consumer of graphs and verdicts since an instant in epoch microseconds, and of schedules.

    Args:
        settings: of the injector.
        broker: to read from.
        since_us: the instant.
        schedules: where those begin that were not read yet.
    """
    consumer = broker.consumer(group_id=None)
    topics = (settings.topic(SERVICE_GRAPH), settings.topic(FAULT_EFFECTS))
    try:
        graphs, verdicts = (positions(consumer, topic, since_us) for topic in topics)
    except MicroServoError:
        consumer.close()
        raise
    consumer.assign({**graphs, **verdicts, **schedules})
    return consumer


def _end_all(injector: Injector, writer: StampedWriter) -> None:
    """Ends every fault, within bounds; the last round makes durable what was published."""
    deadline_s = time.monotonic() + SHUTDOWN_S
    pace = threading.Event()
    injector.shut_down()
    while True:
        is_last = injector.is_at_rest or time.monotonic() >= deadline_s
        try:
            injector.tick()
            writer.tick()
        except Retryable as error:
            logger.warning("publishing the end failed for now: %s", error)
        if is_last:
            return
        pace.wait(POLL_TIMEOUT_S)
