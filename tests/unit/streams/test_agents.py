"""The agent on an engine that only pretends: where it begins, and when it stops."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP
from recorded_run import experiment
from synthetic import Story

from microservo.adapters.clock import now_us
from microservo.errors import Fatal, OffsetGap
from microservo.log.reader import read_topic
from microservo.log.run_records import KnownRuns, write_run
from microservo.log.topics import topic_specs
from microservo.log.writers import JOIN_AHEAD_US
from microservo.runtime.metrics import WATERMARK_LAG_SECONDS
from microservo.testing import MemoryBroker
from schemas.codec import encode
from schemas.envelope import Stamp
from schemas.records import LogBatch, RunWriter
from streams.agents import Join
from streams.outputs import Outputs
from streams.settings import StreamsSettings
from streams.silent import SilentManagers

EMPTY = LogBatch(
    run_id="run",
    service="cart",
    instances=(),
    templates=(),
    time_us=b"",
    instance=b"",
    severity=b"",
    template=b"",
    trace_id=b"",
    span_id=b"",
    bodies=(),
)


class Consumer:
    """Has a log that begins at 7, and what was committed."""

    def __init__(self) -> None:
        self._committed_offset: dict[TP, int] = {}

    async def earliest_offsets(self, *partitions: TP) -> dict[TP, int]:
        return dict.fromkeys(partitions, 7)


class App:
    """Remembers why it was told to crash."""

    def __init__(self) -> None:
        self.crashes: list[Exception] = []
        self.consumer = Consumer()

    async def crash(self, reason: Exception) -> None:
        self.crashes.append(reason)


@pytest.fixture
def app() -> Any:
    return App()


@pytest.fixture
def broker() -> MemoryBroker:
    broker = MemoryBroker()
    broker.admin().ensure_topics(topic_specs())
    return broker


@pytest.fixture
def join(app: Any, broker: MemoryBroker) -> Join:
    runs = KnownRuns(broker, "", now_us)
    silent = SilentManagers(lambda run_id, writer: None)
    return Join(app, StreamsSettings(silence_s=60), {}, Outputs(broker.producer(), ""), runs, silent=silent)


def test_silence_stops_the_worker(app: Any, join: Join) -> None:
    asyncio.run(join.stop_if_silent())
    assert app.crashes == []
    join.received_at -= 61
    asyncio.run(join.stop_if_silent())
    assert [type(crash) for crash in app.crashes] == [Fatal]


def test_silence_before_partitions_were_assigned_does_not_count(app: Any, join: Join) -> None:
    join.received_at -= 61
    asyncio.run(join.on_assigned(app, []))
    asyncio.run(join.stop_if_silent())
    assert app.crashes == []


@dataclass
class Event:
    message: Any

    def ack(self) -> bool:
        return True


class Stream:
    """Gives events in order."""

    def __init__(self, *events: Event) -> None:
        self._events = events

    def noack(self) -> Stream:
        return self

    async def events(self) -> AsyncIterator[Event]:
        for event in self._events:
            yield event


def delivered(offset: int, writer: str = "w", value: bytes | None = None, *, at_us: int = 1) -> Event:
    stamp = Stamp(run="run", watermark_us=at_us, writer=writer, sequence=offset, total=0)
    tp = TP("telemetry-logs", 0)
    message = SimpleNamespace(tp=tp, topic=tp.topic, partition=0, offset=offset, value=value)
    message.timestamp, message.key = 1.0, b"cart"
    message.headers = stamp.headers()
    return Event(message)


@pytest.mark.parametrize(("committed", "begin"), [(None, 7), (40, 40), (3, 7)])
def test_reading_begins_at_the_commit_or_where_the_log_begins(
    app: Any, join: Join, committed: int | None, begin: int
) -> None:
    if committed is not None:
        app.consumer._committed_offset[TP("telemetry-logs", 0)] = committed
    join._flush_due = math.inf
    asyncio.run(join.run(Stream(delivered(begin), delivered(begin + 1))))
    with pytest.raises(OffsetGap, match=f"expected offset {begin + 2}, got {begin + 3}"):
        asyncio.run(join.run(Stream(delivered(begin + 3))))


@pytest.mark.parametrize(("committed", "begin"), [(None, 7), (40, 40), (3, 7)])
def test_what_the_engine_dropped_before_the_first_message_is_missed(
    app: Any, join: Join, committed: int | None, begin: int
) -> None:
    if committed is not None:
        app.consumer._committed_offset[TP("telemetry-logs", 0)] = committed
    with pytest.raises(OffsetGap, match=f"expected offset {begin}, got {begin + 1}"):
        asyncio.run(join.run(Stream(delivered(begin + 1))))


def declare(broker: MemoryBroker, *writers: str) -> None:
    declared = tuple(
        RunWriter(topic="telemetry-logs", writer=name, from_us=0, first_cut_us=0, final_cut_us=0)
        for name in writers
    )
    run = replace(experiment(Story(run_id="run"), {}, {}), status="running", writers=declared)
    write_run(broker, run, process="system", clock=now_us)


def reasons(broker: MemoryBroker) -> list[str]:
    letters = read_topic(broker, "telemetry-logs-dlq")
    return [(letter.header("dlq_reason") or b"").decode() for letter in letters]


def test_a_writer_is_known_by_the_time_its_first_message_is_read(join: Join, broker: MemoryBroker) -> None:
    join._flush_due = math.inf
    declare(broker, "w")
    asyncio.run(join.run(Stream(delivered(7))))
    declare(broker, "w", "second")
    later_us = now_us() + JOIN_AHEAD_US
    asyncio.run(join.run(Stream(delivered(8, "second", b"unreadable", at_us=later_us))))
    (reason,) = reasons(broker)
    assert "names no known schema" in reason


def test_whoever_is_not_declared_does_not_have_the_runs_read_again_and_again(
    join: Join, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    join._flush_due = math.inf
    declare(broker, "w")
    asyncio.run(join.run(Stream(delivered(7))))
    monkeypatch.setattr(join, "_refresh", _unwanted)
    at_us = now_us()
    asyncio.run(join.run(Stream(*(delivered(offset, "stranger", at_us=at_us) for offset in range(8, 99)))))
    assert reasons(broker) == []


def test_what_somebody_writes_who_is_not_declared_is_a_dead_letter(join: Join, broker: MemoryBroker) -> None:
    join._flush_due = math.inf
    declare(broker, "w")
    value = encode(EMPTY)
    asyncio.run(join.run(Stream(delivered(7, "stranger", value), delivered(8, "stranger"))))
    (reason,) = reasons(broker)
    assert reason.startswith("stranger is no declared writer of telemetry-logs in run 'run'")


def test_the_lag_of_windows_is_told_by_partition(app: Any, join: Join) -> None:
    app.producer = SimpleNamespace(flush=_nothing)
    asyncio.run(join.run(Stream(delivered(7))))
    lags = WATERMARK_LAG_SECONDS.collect()
    assert {tuple(sample.labels) for metric in lags for sample in metric.samples} == {("partition",)}


async def _nothing() -> None:
    pass


async def _unwanted() -> None:
    pytest.fail("read again")
