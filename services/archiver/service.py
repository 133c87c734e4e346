"""The process: reads `experiments` from its beginning and goes on with what comes."""

from __future__ import annotations

from microservo.adapters.broker import Broker
from microservo.adapters.kafka import KafkaBroker
from microservo.log.reader import positions
from microservo.runtime.health import HealthServer
from microservo.runtime.loop import consume_loop
from microservo.runtime.pulse import Pulse
from microservo.runtime.shutdown import Shutdown
from schemas.catalogue import EXPERIMENTS
from services.archiver.handlers import Archive
from services.archiver.settings import ArchiverSettings

_LONGEST_STEP_S = 300.0
"""Verifying a large dataset is the longest step without a beat of the pulse."""


def run(settings: ArchiverSettings, shutdown: Shutdown, *, broker: Broker | None = None) -> None:
    """Archives finished runs until shutdown.

    There is no consumer group: the topic is compacted and short, the folders say what is done, and a rebuild
    may take longer than a group would wait for its member.

    Raises:
        Unavailable: no broker answers.
        Fatal: what a restart may mend.
    """
    broker = broker or KafkaBroker(settings.kafka)
    pulse = Pulse(_LONGEST_STEP_S)
    archive = Archive(
        broker, settings.archive_dir, settings.topic_prefix, shutdown=shutdown, on_step=pulse.beat
    )
    archive.clean()
    with HealthServer(settings.health_port, pulse.is_alive):
        consumer = broker.consumer(group_id=None)
        consumer.assign(positions(consumer, settings.topic(EXPERIMENTS)))
        consume_loop(
            consumer, archive.handle, shutdown=shutdown, timeout_s=0.5, on_idle=pulse.beat, commit=False
        )
