"""The process: begins where the database stands, and goes on with what comes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from sqlalchemy import Engine

from microservo.adapters.broker import Broker, Consumer
from microservo.adapters.kafka import KafkaBroker
from microservo.catalogue.database import drop, open_engine, place_of, reported
from microservo.catalogue.projection import BATCH, Projection
from microservo.errors import Fatal, Retryable, Unavailable
from microservo.runtime.health import HealthServer
from microservo.runtime.loop import FIRST_BACK_OFF_S, LONGEST_BACK_OFF_S, consume_loop
from microservo.runtime.metrics import RETRIES_TOTAL
from microservo.runtime.pulse import Pulse
from microservo.runtime.shutdown import Shutdown
from services.projector.settings import ProjectorSettings

logger = logging.getLogger(__name__)

_LONGEST_STEP_S = 120.0
"""A database that does not answer is given up after about a minute."""


def run(settings: ProjectorSettings, shutdown: Shutdown, *, broker: Broker | None = None) -> None:
    """Projects until shutdown.

    There is no consumer group: where to go on, the database says.

    Raises:
        InvalidInput: the URL names no database that a catalogue can be in.
        Fatal: the database is of another log, or the log no longer holds what comes next, and nothing says
            that it may be made anew.
    """
    broker = broker or KafkaBroker(settings.kafka)
    url = settings.catalogue_url.get_secret_value()
    engine = open_engine(url)
    projection = Projection(broker, engine, url, settings.topic_prefix)
    pulse = Pulse(_LONGEST_STEP_S)
    with HealthServer(settings.health_port, pulse.is_alive):
        try:
            replace = partial(_drop, engine, url) if settings.catalogue_replaced else None
            consumer = _begun(lambda: _consumer(broker, projection, replace), shutdown, pulse)
            if consumer is None:
                return
            logger.info("the catalogue is %s", place_of(url))
            consume_loop(
                consumer,
                lambda messages: projection.handle(consumer, messages),
                shutdown=shutdown,
                max_messages=BATCH,
                idle_s=0.5,
                timeout_s=0.05,
                on_idle=pulse.beat,
                commit=False,
            )
        finally:
            engine.dispose()


def _begun(begin: Callable[[], Consumer], shutdown: Shutdown, pulse: Pulse) -> Consumer | None:
    """What `begin` returns, once database and topics are there; None if shutdown comes first."""
    pause_s = FIRST_BACK_OFF_S
    while not shutdown.requested:
        try:
            return begin()
        except (Retryable, Unavailable) as error:
            RETRIES_TOTAL.labels("begin").inc()
            logger.warning("can't begin for now: %s", error)
        shutdown.wait(pause_s)
        pulse.beat()
        pause_s = min(pause_s * 2, LONGEST_BACK_OFF_S)
    return None


def _consumer(broker: Broker, projection: Projection, replace: Callable[[], None] | None) -> Consumer:
    """A consumer that stands where the database does."""
    consumer = broker.consumer(group_id=None)
    try:
        try:
            projection.begin(consumer)
        except Fatal as error:
            if replace is None:
                raise
            logger.warning("%s; this one may be made anew, and is", error)
            replace()
            projection.begin(consumer)
    except BaseException:
        consumer.close()
        raise
    return consumer


def _drop(engine: Engine, url: str) -> None:
    with reported(url):
        drop(engine)
