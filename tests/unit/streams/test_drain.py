"""Stepping a callback by hand ends as a task would have ended it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import faust
import pytest

from streams import drain
from streams.drain import SteppingConsumer, step_messages

OnMessage = Callable[[], Awaitable[None]]


def make_app() -> faust.App:
    """An application; made where a loop runs, since it would open one of its own elsewhere."""
    return faust.App("test-drain", broker="kafka://127.0.0.1:1", store="memory://", loghandlers=[])


async def drained(on_message: OnMessage, *, during: Callable[[Any], None] | None = None) -> Any:
    """What the consumer's wait gives; `during` is called with the consumer once the callback waits."""
    app = make_app()
    step_messages(app)
    consumer = app.transport.create_consumer(
        callback=on_message, on_partitions_revoked=print, on_partitions_assigned=print
    )
    assert isinstance(consumer, SteppingConsumer)
    if during is not None:
        asyncio.get_running_loop().call_soon(during, consumer)
    try:
        return await asyncio.wait_for(consumer.wait_first(on_message(), consumer.suspend_flow.wait()), 10)
    finally:
        consumer._thread.thread_loop.close()  # it opens one when it is made


def test_a_callback_that_does_not_wait_makes_no_task() -> None:
    tasks: list[int] = []

    async def on_message() -> None:
        tasks.append(len(asyncio.all_tasks()))

    async def scenario() -> None:
        before = len(asyncio.all_tasks()) + 1  # the one of wait_for
        await drained(on_message)
        assert tasks in ([before], [before - 1])

    asyncio.run(scenario())


def test_a_callback_that_waits_is_carried_to_its_end() -> None:
    steps: list[str] = []

    async def on_message() -> None:
        steps.append("begun")
        await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        steps.append("ended")

    asyncio.run(drained(on_message))
    assert steps == ["begun", "ended"]


def test_suspending_the_flow_ends_the_wait_and_cancels_the_callback() -> None:
    seen: list[str] = []

    async def on_message() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async def scenario() -> None:
        await drained(on_message, during=lambda consumer: consumer.suspend_flow.set())
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(scenario())
    assert seen == ["cancelled"]


@pytest.mark.parametrize("waits", [False, True])
def test_an_error_of_the_callback_reaches_the_drain(waits: bool) -> None:
    async def on_message() -> None:
        if waits:
            await asyncio.sleep(0)
        msg = "no such thing"
        raise LookupError(msg)

    with pytest.raises(LookupError, match="no such thing"):
        asyncio.run(drained(on_message))


def test_another_faust_keeps_its_own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "version", lambda _: "0.16.0")

    async def scenario() -> None:
        app = make_app()
        stock = app.transport.Consumer
        step_messages(app)
        assert app.transport.Consumer is stock

    asyncio.run(scenario())
