"""Runs one worker: `python -m streams`."""

from __future__ import annotations

import tempfile
import time
from contextlib import closing
from pathlib import Path

import faust

from microservo.adapters.clock import now_us
from microservo.adapters.kafka import KafkaBroker
from microservo.domain.joined_topics import SOURCES
from microservo.log.run_records import KnownRuns
from microservo.log.writers import GONE_AFTER_US, retire_writer
from microservo.runtime.health import HealthServer
from microservo.runtime.logging import configure_logging
from microservo.runtime.settings import settings_or_exit
from streams.app import create_app, partitions_of
from streams.settings import StreamsSettings


def main() -> None:
    """Settings, then logging, then the worker until a signal ends it."""
    settings = settings_or_exit(StreamsSettings, "streams")
    configure_logging("streams", settings.log_level)
    broker = KafkaBroker(settings.kafka)
    admin = broker.admin()
    partitions = partitions_of(admin, settings)
    # Around a rebalance Faust drops what it had fetched, and goes back only to what was committed.
    topics = [settings.topic(each) for each in SOURCES]
    admin.begin_group(settings.topic(settings.streams_group), topics)
    with (
        broker.producer(linger_ms=5) as producer,
        closing(KnownRuns(broker, settings.topic_prefix, now_us)) as runs,
        tempfile.TemporaryDirectory() as folder,
    ):

        def retire(run_id: str, writer: str) -> None:
            retire_writer(
                broker,
                run_id=run_id,
                writer=writer,
                process="streams",
                clock=now_us,
                topic_prefix=settings.topic_prefix,
                quiet_us=GONE_AFTER_US,
            )

        app, join = create_app(
            settings,
            partitions=partitions,
            producer=producer,
            runs=runs,
            retire=retire,
            folder=Path(folder),
        )

        def is_healthy() -> bool:
            return time.monotonic() - join.received_at < settings.silence_s

        with HealthServer(settings.health_port, is_healthy):
            worker = faust.Worker(
                app,
                loglevel=settings.log_level,
                # Its spinner would be written between the lines of the log.
                quiet=True,
                redirect_stdouts=False,
                override_logging=False,
            )
            worker.execute_from_commandline()


if __name__ == "__main__":
    main()
