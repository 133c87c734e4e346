"""The process: one consumer of everything that the run writes, an observer, a stamped writer, a pulse."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack

from microservo.adapters.broker import Broker, Consumer, Producer
from microservo.adapters.clock import now_us
from microservo.adapters.kafka import KafkaBroker
from microservo.domain.effects import EffectObserver
from microservo.domain.watermarks import NEVER_WAITS_US
from microservo.domain.window_policy import WindowPolicy
from microservo.errors import MicroServoError
from microservo.log.publisher import Publisher, source_of
from microservo.log.reader import positions, read_state, read_topic
from microservo.log.stamped import StampedWriter
from microservo.log.writers import OBSERVER_WRITER, declare_writer
from microservo.retry import retry
from microservo.runtime.health import HealthServer
from microservo.runtime.loop import consume_loop
from microservo.runtime.pulse import Pulse
from microservo.runtime.shutdown import Shutdown
from schemas.catalogue import EXPERIMENTS, FAULT_EFFECTS, SERVICE_FAULTS
from schemas.codec import SchemaError, decode
from schemas.records import Experiment, FaultEffect, FaultVerdict
from services.effect_observer.handlers import READ, Handlers, Progress
from services.effect_observer.settings import EffectObserverSettings

logger = logging.getLogger(__name__)

POLL_TIMEOUT_S = 0.1
LINGER_MS = 1
_CLOCK_SLACK_US = 60_000_000
"""How far the clock of the run's record and that of the broker's timestamps may differ."""


def run(
    settings: EffectObserverSettings,
    shutdown: Shutdown,
    *,
    broker: Broker | None = None,
    clock: Callable[[], int] = now_us,
) -> None:
    """Measures effects until shutdown.

    Raises:
        InvalidInput: a topic is missing, or the run is over.
        Unavailable: no broker answers.
        Fatal: what a restart may mend.
    """
    broker = broker or KafkaBroker(settings.kafka)
    pulse = Pulse()
    with ExitStack() as stack:
        stack.enter_context(HealthServer(settings.health_port, pulse.is_alive))
        producer = stack.enter_context(broker.producer(linger_ms=LINGER_MS))

        def begin() -> tuple[Handlers, StampedWriter]:
            return start(
                settings,
                EffectObserver(settings.run_id),
                broker=broker,
                producer=producer,
                clock=clock,
                wait=shutdown.wait,
            )

        handlers, writer = retry(begin, wait=shutdown.wait, on_failure=_log_failure)
        stack.enter_context(writer)

        def housekeeping() -> None:
            handlers.advance()
            writer.tick()
            pulse.beat()

        consume_loop(
            retry(lambda: consumer_of(settings, broker, clock), wait=shutdown.wait, on_failure=_log_failure),
            handlers.handle,
            shutdown=shutdown,
            timeout_s=POLL_TIMEOUT_S,
            on_idle=housekeeping,
            commit=False,
        )


def start(
    settings: EffectObserverSettings,
    observer: EffectObserver,
    *,
    broker: Broker,
    producer: Producer,
    clock: Callable[[], int],
    wait: Callable[[float], object],
) -> tuple[Handlers, StampedWriter]:
    """The handlers of an observer and their writer, with what earlier processes published known to it.

    Raises:
        InvalidInput: a topic is missing, or the run is over.
        Retryable: the broker is busy.
    """
    from_us = declare_writer(
        broker,
        run_id=settings.run_id,
        writer=OBSERVER_WRITER,
        topics=(FAULT_EFFECTS,),
        process="effect_observer",
        clock=clock,
        wait=wait,
        topic_prefix=settings.topic_prefix,
        first_cut_us=NEVER_WAITS_US,
    )
    run = _run(settings, broker)
    observer.resume(_published(settings, broker))
    progress = Progress()
    writer = StampedWriter(
        broker,
        settings.topic(FAULT_EFFECTS),
        writer=OBSERVER_WRITER,
        run_id=lambda: settings.run_id,
        clock=clock,
        promise=lambda: progress.until_us,
        source=source_of("effect_observer"),
        from_us=from_us,
        linger_ms=LINGER_MS,
    )
    publisher = Publisher(
        producer,
        "effect_observer",
        prefix=settings.topic_prefix,
        clock=clock,
        writers={FAULT_EFFECTS: writer},
    )
    handlers = Handlers(
        observer=observer,
        publisher=publisher,
        run_id=settings.run_id,
        topic=settings.topic,
        partitions=writer.partitions,
        progress=progress,
        policy=WindowPolicy(),
        clock=clock,
    )
    if run is not None:
        handlers.update_run(run)
    return handlers, writer


def consumer_of(settings: EffectObserverSettings, broker: Broker, clock: Callable[[], int]) -> Consumer:
    """A consumer of all that the run wrote: of every fault, and of its telemetry as far as is looked back.

    Raises:
        InvalidInput: a topic is missing.
        Retryable: the broker is busy.
    """
    run = _run(settings, broker)
    look_back_us = max(0, clock() - round(settings.look_back_s * 1e6))
    begin_us = max(0, run.started_at_us - _CLOCK_SLACK_US) if run else look_back_us
    consumer = broker.consumer(group_id=None)
    try:
        places = positions(consumer, settings.topic(EXPERIMENTS))
        for source in READ:
            since_us = begin_us if source == SERVICE_FAULTS else max(begin_us, look_back_us)
            places |= positions(consumer, settings.topic(source), since_us)
        consumer.assign(places)
    except MicroServoError:
        consumer.close()
        raise
    return consumer


def _run(settings: EffectObserverSettings, broker: Broker) -> Experiment | None:
    return read_state(broker, settings.topic(EXPERIMENTS), Experiment).get(settings.run_id)


def _published(settings: EffectObserverSettings, broker: Broker) -> Iterator[FaultEffect | FaultVerdict]:
    """What earlier processes found in the run."""
    for message in read_topic(broker, settings.topic(FAULT_EFFECTS)):
        try:
            record = decode(message.value) if message.value else None
        except SchemaError as error:
            logger.warning("%s[%d] %d: %s", message.topic, message.partition, message.offset, error)
            continue
        if isinstance(record, FaultEffect | FaultVerdict) and record.run_id == settings.run_id:
            yield record


def _log_failure(error: MicroServoError) -> None:
    logger.warning("starting failed for now: %s", error)
