"""The process: requests as a group, observations on its own, workers for the target, one loop for all."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from typing import TypeVar

from microservo.adapters.broker import Broker, Consumer, Producer
from microservo.adapters.clock import now_us
from microservo.adapters.kafka import KafkaBroker
from microservo.domain.faults.catalogue import KINDS
from microservo.errors import InvalidInput, MicroServoError, Retryable, Unavailable
from microservo.log.dead_letters import DeadLetters
from microservo.log.stamped import StampedWriter
from microservo.platforms.local.platform import LocalPlatform
from microservo.platforms.mechanism import Mechanism
from microservo.platforms.platform import Platform, services_of
from microservo.runtime.health import HealthServer
from microservo.runtime.loop import consume_loop
from microservo.runtime.shutdown import Shutdown
from schemas.catalogue import FAULT_EVENTS, FAULT_REQUESTS, FEATURE_WINDOWS, SERVICE_FAULTS, SERVICE_GRAPH
from services.fault_injector.actions import Hands, ThreadWorkers, Workers
from services.fault_injector.casebook import Casebook
from services.fault_injector.handlers import Handlers
from services.fault_injector.injector import Injector
from services.fault_injector.journal import Journal
from services.fault_injector.log_reader import positions_since, read_log
from services.fault_injector.open_fault import OpenFault
from services.fault_injector.resumption import (
    first_requests,
    is_unfinished,
    reopened,
    services_told,
    stories_told,
)
from services.fault_injector.settings import FaultInjectorSettings

logger = logging.getLogger(__name__)

T = TypeVar("T")

WRITER = "fault-injector"
POLL_TIMEOUT_S = 0.01
"""The longest that a confirmation waits for the loop: a part of every label's latency."""
LINGER_MS = 1
LOOK_BACK_US = 120_000_000
SHUTDOWN_S = 4.0
"""How long faults may take to end at shutdown, before the supervisor loses its patience; the rest is repaired
by the next start."""
_LONGEST_ROUND_S = 60.0
_START_PAUSE_S = 0.5
_MAX_OBSERVATIONS = 1000


def run(
    settings: FaultInjectorSettings,
    shutdown: Shutdown,
    *,
    broker: Broker | None = None,
    target: Platform | None = None,
    clock: Callable[[], int] = now_us,
) -> None:
    """Carries out fault requests until shutdown, then ends every fault.

    Raises:
        Unavailable: no broker answers.
        Fatal: what a restart may mend.
    """
    broker = broker or KafkaBroker(settings.kafka)
    target = target or LocalPlatform(settings.target_state, clock=clock)
    pulse = _Pulse()
    with ExitStack() as stack:
        stack.enter_context(HealthServer(settings.health_port, pulse.is_felt))
        producer = stack.enter_context(broker.producer(linger_ms=LINGER_MS))
        writer = stack.enter_context(_patiently(shutdown, lambda: _writer(settings, broker, clock)))
        workers = stack.enter_context(closing(ThreadWorkers()))
        injector = build_injector(
            settings,
            producer=producer,
            writer=writer,
            target=target,
            workers=workers,
            clock=clock,
        )
        _patiently(shutdown, lambda: resume(injector, settings, broker, target, clock))
        handlers = _handlers(settings, injector, producer)
        observations = stack.enter_context(
            _patiently(shutdown, lambda: _observations(settings, broker, clock))
        )

        def housekeeping() -> None:
            handlers.observations(observations.consume(_MAX_OBSERVATIONS, 0.0))
            injector.tick()
            writer.tick()
            pulse.beat()

        requests = broker.consumer(group_id=settings.group_id)
        requests.subscribe([settings.topic(FAULT_REQUESTS)])
        consume_loop(
            requests, handlers.requests, shutdown=shutdown, timeout_s=POLL_TIMEOUT_S, on_idle=housekeeping
        )
        _end_all(injector, writer)


def build_injector(
    settings: FaultInjectorSettings,
    *,
    producer: Producer,
    writer: StampedWriter,
    target: Platform,
    workers: Workers,
    clock: Callable[[], int],
) -> Injector:
    """The injector with everything that it needs; the workers get to know here what they work on."""
    journal = Journal(
        producer=producer, writer=writer, events_topic=settings.topic(FAULT_EVENTS), clock=clock
    )
    casebook = Casebook(journal)
    mechanisms = _mechanisms(target)
    workers.use(Hands(platform=target, mechanisms=mechanisms, owned=casebook.owned))
    return Injector(
        casebook=casebook,
        journal=journal,
        target=target,
        mechanisms=frozenset(mechanisms),
        workers=workers,
        clock=clock,
        run_id=settings.run_id,
        outside=settings.outside_services,
    )


def resume(
    injector: Injector,
    settings: FaultInjectorSettings,
    broker: Broker,
    target: Platform,
    clock: Callable[[], int],
) -> None:
    """Reads back what earlier processes told, and lets the injector take up what they left."""
    stories = stories_told(read_log(broker, settings.topic(FAULT_EVENTS)))
    unfinished = [story for story in stories.values() if is_unfinished(story, clock())]
    requests = first_requests(read_log(broker, settings.topic(FAULT_REQUESTS)))
    faults: list[OpenFault] = []
    if unfinished:
        since_us = min(story.whole.requested_at_us for story in unfinished) - LOOK_BACK_US
        told = services_told(read_log(broker, settings.topic(SERVICE_FAULTS), since_us=max(0, since_us)))
        instances = _instances(target)
        for story in unfinished:
            fault_id = story.whole.fault_id
            fault = reopened(story, requests.get(fault_id), told.get(fault_id), instances)
            if fault is not None:
                faults.append(fault)
    injector.resume(stories, requests, faults)


class _Pulse:
    """Beats once per round of the loop; a process that hangs has none."""

    def __init__(self) -> None:
        self._last_s = time.monotonic()

    def beat(self) -> None:
        self._last_s = time.monotonic()

    def is_felt(self) -> bool:
        return time.monotonic() - self._last_s < _LONGEST_ROUND_S


def _patiently(shutdown: Shutdown, make: Callable[[], T]) -> T:
    """What `make` gives as soon as it gives anything; right after a start the broker may need a moment."""
    while True:
        try:
            return make()
        except Retryable as error:
            logger.warning("starting failed for now: %s", error)
            if shutdown.wait(_START_PAUSE_S):
                raise


def _writer(settings: FaultInjectorSettings, broker: Broker, clock: Callable[[], int]) -> StampedWriter:
    return StampedWriter(
        broker,
        settings.topic(SERVICE_FAULTS),
        writer=WRITER,
        run_id=lambda: settings.run_id,
        clock=clock,
        source="microservo/fault-injector",
        linger_ms=LINGER_MS,
    )


def _handlers(settings: FaultInjectorSettings, injector: Injector, producer: Producer) -> Handlers:
    return Handlers(
        injector=injector,
        dead_letters=DeadLetters(producer, settings.topic_prefix),
        producer=producer,
        topic=settings.topic,
        run_id=settings.run_id,
    )


def _observations(settings: FaultInjectorSettings, broker: Broker, clock: Callable[[], int]) -> Consumer:
    """A consumer of graphs and windows that begins a little in the past, so that baselines are known."""
    consumer = broker.consumer(group_id=None)
    since_us = max(0, clock() - LOOK_BACK_US)
    topics = (settings.topic(SERVICE_GRAPH), settings.topic(FEATURE_WINDOWS))
    try:
        graphs, windows = (positions_since(consumer, topic, since_us) for topic in topics)
    except MicroServoError:
        consumer.close()
        raise
    consumer.assign({**graphs, **windows})
    return consumer


def _mechanisms(target: Platform) -> Mapping[str, Mechanism]:
    return {mechanism.name: mechanism for kind in KINDS for mechanism in target.mechanisms(kind)}


def _instances(target: Platform) -> dict[str, tuple[str, ...]]:
    try:
        return {service: tuple(names) for service, names in sorted(services_of(target).items())}
    except (Unavailable, InvalidInput):
        return {}


def _end_all(injector: Injector, writer: StampedWriter) -> None:
    """Ends every fault, within bounds; the last round makes durable what was told."""
    deadline_s = time.monotonic() + SHUTDOWN_S
    pace = threading.Event()
    injector.shut_down()
    while True:
        is_last = injector.is_at_rest or time.monotonic() >= deadline_s
        try:
            injector.tick()
            writer.tick()
        except Retryable as error:
            logger.warning("telling the end failed for now: %s", error)
        if is_last:
            return
        pace.wait(POLL_TIMEOUT_S)
