"""The agent on an engine that only pretends: where it begins, and when it stops."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from microservo.adapters.clock import now_us
from microservo.errors import Fatal, OffsetGap
from microservo.log.run_records import KnownRuns
from microservo.log.topics import topic_specs
from microservo.testing import MemoryBroker
from schemas.envelope import Stamp
from streams.agents import Join
from streams.outputs import Outputs
from streams.settings import StreamsSettings


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
def join(app: Any) -> Join:
    broker = MemoryBroker()
    broker.admin().ensure_topics(topic_specs())
    runs = KnownRuns(broker, "", now_us)
    return Join(app, StreamsSettings(silence_s=60), {}, Outputs(broker.producer(), ""), runs)


def test_silence_stops_the_worker(app: Any, join: Join) -> None:
    asyncio.run(join.stop_if_silent())
    assert app.crashes == []
    join.heard_at -= 61
    asyncio.run(join.stop_if_silent())
    assert [type(crash) for crash in app.crashes] == [Fatal]


def test_silence_before_partitions_were_assigned_does_not_count(app: Any, join: Join) -> None:
    join.heard_at -= 61
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


def delivered(offset: int) -> Event:
    stamp = Stamp(run="run", watermark_us=1, writer="w", sequence=offset, total=0)
    tp = TP("telemetry-logs", 0)
    message = SimpleNamespace(tp=tp, topic=tp.topic, partition=0, offset=offset, value=None)
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
