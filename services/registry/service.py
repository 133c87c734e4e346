"""Builds a registry and runs it until SIGTERM or SIGINT."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing

from microservo.adapters.broker import Broker, Consumer, Message
from microservo.adapters.clock import now_us
from microservo.adapters.kafka import KafkaBroker
from microservo.adapters.ports import free_ports
from microservo.domain.registry.instances import REGISTRY_SERVICE, registration_id
from microservo.errors import MicroServoError, Retryable, Unavailable
from microservo.log.ranges import read_ranges
from microservo.log.reader import ranges_from
from microservo.retry import retry
from microservo.runtime.api import api_app
from microservo.runtime.health import HealthServer
from microservo.runtime.http import HttpServer
from microservo.runtime.log_limit import LogLimit
from microservo.runtime.loop import consume_loop
from microservo.runtime.metrics import RECORDS_TOTAL, RETRIES_TOTAL
from microservo.runtime.pulse import Pulse
from microservo.runtime.shutdown import Shutdown
from schemas.catalogue import REGISTRATIONS
from schemas.codec import SchemaError, decode_as
from schemas.records import Registration
from services.registry.announcing import Announcements
from services.registry.operations import API
from services.registry.registry import Registry
from services.registry.settings import RegistrySettings
from services.registry.watch import Watch

logger = logging.getLogger(__name__)

_IDLE_S = 0.05
_COMPANY_S = 0.005
_GIVE_UP_S = 5.0
"""After so long a producer gives a message up, and gets a successor; it must not hold up the end either."""


def run(
    settings: RegistrySettings,
    shutdown: Shutdown,
    *,
    broker: Broker | None = None,
    clock: Callable[[], int] = now_us,
) -> None:
    """Answers questions until shutdown, from when it knows what is on the log.

    Raises:
        InvalidInput: a topic is missing.
        Unavailable: its port is taken.
        Fatal: what a restart may mend.
    """
    reading = broker or KafkaBroker(settings.kafka)
    give_up = {"delivery_timeout_s": min(_GIVE_UP_S, settings.kafka.delivery_timeout_s)}
    writing = broker or KafkaBroker(settings.kafka.model_copy(update=give_up))
    pulse = Pulse()
    is_ready = threading.Event()
    limit = LogLimit()
    port = settings.registry_port or free_ports(1)[0]
    registry = Registry(
        _own_registration(settings, port, clock()),
        clock=clock,
        monotonic_s=time.monotonic,
        seed=settings.seed,
        lease_s=settings.lease_s,
    )
    announcements = Announcements(writing, registry, topic_prefix=settings.topic_prefix, clock=clock)
    with ExitStack() as stack:
        stack.enter_context(
            HealthServer(settings.health_port, lambda: is_ready.is_set() and pulse.is_alive())
        )
        stack.enter_context(closing(announcements))
        consumer = retry(
            lambda: _caught_up(reading, settings.topic(REGISTRATIONS), registry),
            wait=shutdown.wait,
            on_failure=_log_failure,
        )
        stack.enter_context(Watch(registry, monotonic_s=time.monotonic))
        token = settings.control_token.get_secret_value()
        app = api_app(API, registry, token=token, checks_host=settings.is_local)
        stack.enter_context(HttpServer(app, port=port, hosts=(settings.registry_host,)))
        is_ready.set()
        logger.info("registry %s answers on port %d", settings.registry_name, port, extra={"port": port})

        def keep_house() -> None:
            pulse.beat()
            try:
                announcements.advance()
            except Retryable as error:
                RETRIES_TOTAL.labels("housekeeping").inc()
                if (rest := limit.end_of_line(REGISTRATIONS, "away")) is not None:
                    logger.warning("%s%s", error, rest)

        consume_loop(
            consumer,
            lambda messages: registry.observe(_read(messages)),
            shutdown=shutdown,
            timeout_s=_COMPANY_S,
            idle_s=_IDLE_S,
            on_idle=keep_house,
            commit=False,
        )
        _say_goodbye(announcements, registration_id(REGISTRY_SERVICE, settings.registry_name))


def _own_registration(settings: RegistrySettings, port: int, now_us: int) -> Registration:
    name = settings.registry_name
    host = f"[{settings.registry_host}]" if ":" in settings.registry_host else settings.registry_host
    return Registration(
        registration_id=registration_id(REGISTRY_SERVICE, name),
        service=REGISTRY_SERVICE,
        instance=name,
        endpoint=settings.registry_url or f"http://{host}:{port}",
        latitude=settings.place.latitude,
        longitude=settings.place.longitude,
        region=settings.region,
        registry=name,
        healthy=True,
        draining=False,
        registered_at_us=now_us,
        updated_at_us=now_us,
    )


def _caught_up(broker: Broker, topic: str, registry: Registry) -> Consumer:
    """Hands over what is on the log, and returns a consumer that goes on behind it.

    Raises:
        InvalidInput: there is no such topic.
        Retryable: the broker is away for now.
    """
    state: dict[str, Registration] = {}
    try:
        with broker.consumer(group_id=None) as consumer:
            ranges = ranges_from(consumer, topic)
            for key, record in _read(read_ranges(consumer, ranges, compacted=True)):
                state.pop(key, None)
                if record is not None:
                    state[key] = record
        consumer = broker.consumer(group_id=None)
    except Unavailable as error:
        raise Retryable(str(error)) from error
    registry.restore(state.values())
    consumer.assign({partition: end for partition, (_, end) in ranges.items()})
    return consumer


def _read(messages: Iterable[Message]) -> Iterator[tuple[str, Registration | None]]:
    """What messages say; one that can't be read says nothing."""
    for message in messages:
        key = (message.key or b"").decode(errors="replace")
        try:
            yield key, decode_as(Registration, message.value) if message.value is not None else None
        except SchemaError as error:
            RECORDS_TOTAL.labels("registry", REGISTRATIONS, "rejected").inc()
            logger.warning("%s offset %d can't be read: %s", message.topic, message.offset, error)


def _say_goodbye(announcements: Announcements, key: str) -> None:
    try:
        announcements.say_goodbye(key)
    except MicroServoError as error:
        logger.warning("peers learn by silence that this registry has ended: %s", error)


def _log_failure(error: MicroServoError) -> None:
    logger.warning("reading the registrations failed for now: %s", error)
