"""The process: reads `experiments` from its beginning and goes on with what comes."""

from __future__ import annotations

import time

from microservo.adapters.broker import Broker
from microservo.adapters.kafka import KafkaBroker
from microservo.runtime.health import HealthServer
from microservo.runtime.loop import consume_loop
from microservo.runtime.shutdown import Shutdown
from schemas.catalogue import EXPERIMENTS
from services.archiver.handlers import Archive
from services.archiver.settings import ArchiverSettings

_LONGEST_STEP_S = 300.0
"""Verifying a large dataset is the longest step that gives no sign of life."""


def run(settings: ArchiverSettings, shutdown: Shutdown, *, broker: Broker | None = None) -> None:
    """Archives finished runs until shutdown.

    There is no consumer group: the topic is compacted and short, the folders say what is done, and a rebuild
    may take longer than a group would wait for its member.

    Raises:
        Unavailable: no broker answers.
        Fatal: what a restart may mend.
    """
    broker = broker or KafkaBroker(settings.kafka)
    beats = [time.monotonic()]

    def beat() -> None:
        beats[0] = time.monotonic()

    archive = Archive(broker, settings.archive_dir, settings.topic_prefix, shutdown=shutdown, on_step=beat)
    archive.clean()
    with HealthServer(settings.health_port, lambda: time.monotonic() - beats[0] < _LONGEST_STEP_S):
        consumer = broker.consumer(group_id=None)
        partitions = consumer.partitions(settings.topic(EXPERIMENTS))
        consumer.assign({partition: consumer.offset_range(partition)[0] for partition in partitions})
        consume_loop(consumer, archive.handle, shutdown=shutdown, timeout_s=0.5, on_idle=beat, commit=False)
