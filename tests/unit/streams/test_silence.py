"""A worker that hears nothing stops; one that was just given partitions has heard nothing yet."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from microservo.errors import Fatal
from microservo.testing import MemoryBroker
from streams.agents import Join
from streams.outputs import Outputs
from streams.settings import StreamsSettings


class App:
    """Remembers why it was told to crash."""

    def __init__(self) -> None:
        self.crashes: list[Exception] = []

    async def crash(self, reason: Exception) -> None:
        self.crashes.append(reason)


@pytest.fixture
def app() -> Any:
    return App()


@pytest.fixture
def join(app: Any) -> Join:
    return Join(app, StreamsSettings(silence_s=60), {}, Outputs(MemoryBroker().producer(), ""))


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
