"""The process: begins where the database stands, and goes on with what comes."""

from __future__ import annotations

import logging

from microservo.adapters.broker import Broker, Consumer
from microservo.adapters.kafka import KafkaBroker
from microservo.catalogue.database import open_engine, place_of
from microservo.catalogue.projection import BATCH, Projection
from microservo.errors import Retryable, Unavailable
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
        Fatal: the database is of another log, or the log no longer holds what comes next.
    """
    broker = broker or KafkaBroker(settings.kafka)
    url = settings.catalogue_url.get_secret_value()
    engine = open_engine(url)
    projection = Projection(broker, engine, url, settings.topic_prefix)
    pulse = Pulse(_LONGEST_STEP_S)
    with HealthServer(settings.health_port, pulse.is_alive):
        try:
            consumer = _begun(broker, projection, shutdown, pulse)
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


def _begun(broker: Broker, projection: Projection, shutdown: Shutdown, pulse: Pulse) -> Consumer | None:
    """A consumer that stands where the database does, once both are there; None if shutdown comes first."""
    pause_s = FIRST_BACK_OFF_S
    while not shutdown.requested:
        try:
            consumer = broker.consumer(group_id=None)
            try:
                projection.begin(consumer)
            except BaseException:
                consumer.close()
                raise
        except (Retryable, Unavailable) as error:
            RETRIES_TOTAL.labels("begin").inc()
            logger.warning("can't begin for now: %s", error)
        else:
            return consumer
        shutdown.wait(pause_s)
        pulse.beat()
        pause_s = min(pause_s * 2, LONGEST_BACK_OFF_S)
    return None
