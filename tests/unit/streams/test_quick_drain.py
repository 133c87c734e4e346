"""Callbacks of messages without tasks, and what that leans on in Faust."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest
from faust.transport.consumer import Consumer
from faust.transport.drivers.aiokafka import Transport
from mode.utils.locks import Event

from streams.quick_drain import QuickConsumer


class Drained(QuickConsumer):
    """A consumer that was never connected."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopped, self._crashed, self.suspend_flow = Event(), Event(), Event()


def test_faust_hands_messages_over_as_the_quick_consumer_expects() -> None:
    source = "".join(inspect.getsource(Consumer._drain_messages).split())
    assert "awaitself.wait_first(callback(message),self.suspend_flow.wait())" in source
    assert source.count("wait_first(") == 1
    assert "self.Consumer(" in inspect.getsource(Transport.create_consumer)


def test_a_callback_that_ends_at_once_makes_no_task() -> None:
    async def drained() -> tuple[Any, Any]:
        consumer, seen = Drained(), []

        async def callback() -> str:
            seen.append(asyncio.current_task())
            return "done"

        results = await consumer.wait_first(callback(), consumer.suspend_flow.wait())
        return results.results, seen == [asyncio.current_task()]

    assert asyncio.run(drained()) == (["done"], True)


def test_a_callback_that_waits_is_gone_on_with_from_where_it_stands() -> None:
    async def drained() -> list[str]:
        consumer, gate, seen = Drained(), asyncio.Event(), list[str]()

        async def callback() -> str:
            seen.append("begun")
            await gate.wait()
            await asyncio.sleep(0)
            seen.append("ended")
            return "done"

        asyncio.get_running_loop().call_soon(gate.set)
        results = await consumer.wait_first(callback(), consumer.suspend_flow.wait())
        return [*seen, *results.results]

    assert asyncio.run(drained()) == ["begun", "ended", "done"]


def test_a_rebalance_ends_the_wait_for_a_callback() -> None:
    async def drained() -> list[str]:
        consumer, seen = Drained(), list[str]()

        async def callback() -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise

        asyncio.get_running_loop().call_soon(consumer.suspend_flow.set)
        await consumer.wait_first(callback(), consumer.suspend_flow.wait())
        await asyncio.sleep(0)
        return seen

    assert asyncio.run(drained()) == ["cancelled"]


def test_what_a_callback_raises_is_raised() -> None:
    async def drained() -> None:
        consumer = Drained()

        async def callback() -> None:
            raise ValueError("unreadable")

        await consumer.wait_first(callback(), consumer.suspend_flow.wait())

    with pytest.raises(ValueError, match="unreadable"):
        asyncio.run(drained())
