"""The Faust application.

What Faust gives: partitioned consumption, rebalancing, and one checkpoint per partition and run. What it is
kept from: its windows and joins (wall clock, a stub) and its acknowledging (loses the event that fails); the
reasons are in docs/decisions/0005-faust.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faust
from mode import CrashingSupervisor

from microservo.adapters.broker import Admin, Producer
from microservo.domain.joined_topics import SOURCES
from microservo.errors import Unavailable
from microservo.log.run_records import KnownRuns
from schemas.catalogue import EXPERIMENTS
from streams.agents import Join
from streams.credentials import broker_urls, credentials
from streams.outputs import Outputs
from streams.quick_drain import QuickConsumer
from streams.settings import StreamsSettings
from streams.silent import Retire, SilentManagers

_LOOK_S = 1.0
_FOLLOW_S = 0.5
_FETCH_BYTES = 4 * 2**20
_RAW = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}


class _App(faust.App):
    """Faust's, with a consumer that makes fewer tasks."""

    def _new_transport(self) -> Any:
        transport = super()._new_transport()
        transport.Consumer = QuickConsumer
        return transport


def partitions_of(admin: Admin, settings: StreamsSettings) -> int:
    """How many partitions the joined topics have.

    Raises:
        Unavailable: a topic is missing, or they differ.
    """
    have = {topic.name: topic.partitions for topic in admin.topics()}
    wanted = {name: have.get(settings.topic(name), 0) for name in SOURCES}
    if len(set(wanted.values())) != 1 or 0 in wanted.values():
        msg = (
            f"joined topics need one equal number of partitions, got {wanted}; run `microservo topics ensure`"
        )
        raise Unavailable(msg)
    runs = settings.topic(EXPERIMENTS)
    if runs not in have:
        msg = f"the topic {runs} is missing, which says who writes in a run; run `microservo topics ensure`"
        raise Unavailable(msg)
    return next(iter(wanted.values()))


def create_app(
    settings: StreamsSettings,
    *,
    partitions: int,
    producer: Producer,
    runs: KnownRuns,
    retire: Retire,
    folder: Path,
) -> tuple[faust.App, Join]:
    """The application, ready for a worker, and the state of its one agent.

    Args:
        settings: how to reach the broker and how to cut windows.
        partitions: number of partitions of the joined topics.
        producer: where windows and dead letters go.
        runs: who writes in which run.
        retire: takes a writer that is silent out of a run.
        folder: where Faust makes the folders that it has no use for here; else in the working directory.
    """
    app = _App(
        settings.topic(settings.streams_group),
        broker=broker_urls(settings.kafka),
        broker_credentials=credentials(settings.kafka),
        store="memory://",
        datadir=folder,
        topic_partitions=partitions,
        topic_replication_factor=1,
        topic_disable_leader=True,
        web_enabled=False,
        consumer_auto_offset_reset="earliest",
        broker_session_timeout=10.0,
        broker_heartbeat_interval=1.0,
        broker_commit_interval=1.0,
        producer_linger=0.02,
        stream_buffer_maxsize=16384,
        # Faust's 1 MiB makes catching up wait for the broker: 1.3 times the throughput with four.
        consumer_max_fetch_size=_FETCH_BYTES,
        # Acknowledgements are held back until windows are final; waiting for them would stall a shutdown.
        stream_wait_empty=False,
        # An event that fails must stop the worker: the default supervisor would skip it.
        agent_supervisor=CrashingSupervisor,
        loghandlers=[],
    )
    checkpoints = app.Table("checkpoints", default=int, partitions=partitions, key_type=str, value_type=int)
    outputs = Outputs(producer, settings.topic_prefix)
    join = Join(app, settings, checkpoints, outputs, runs, silent=SilentManagers(retire))
    source = app.topic(*(settings.topic(name) for name in SOURCES), **_RAW)
    app.agent(source, name="join")(join.run)
    app.on_partitions_assigned.connect(join.on_assigned)
    app.timer(interval=_LOOK_S)(join.stop_if_silent)
    app.timer(interval=_FOLLOW_S)(join.follow_runs)
    return app, join
