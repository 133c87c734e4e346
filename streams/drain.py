"""Handing fetched messages to the agent without two tasks for each.

Faust 0.15.3 passes every message on with ``wait_first(callback(message), suspend_flow.wait())``: tasks and a
wait, about half of what a message costs it. The callback nearly always finishes in one step, as it only puts
the message into a queue. So it is stepped once by hand, and only one that has to wait goes Faust's way, from
where it stands and with the same guard: the end of the callback or the suspension of the flow, whichever is
first.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Coroutine, Generator
from functools import partial
from importlib.metadata import version
from typing import Any

import faust
from faust.transport.drivers.aiokafka import Consumer

KNOWN_FAUST = "0.15.3"
_LOG = logging.getLogger(__name__)


class SteppingConsumer(Consumer):  # type: ignore[misc]
    """Faust's consumer, with the pair of coroutines of its drain stepped before it makes tasks of them."""

    async def wait_first(self, *coros: Any, timeout: Any = None) -> Any:
        stepped = len(coros) == 2 and getattr(coros[0], "__name__", "") == "on_message"
        if not stepped or self.suspend_flow.is_set() or self.should_stop:
            return await super().wait_first(*coros, timeout=timeout)
        callback, suspended = coros
        try:
            waits_for = callback.send(None)
        except BaseException as ended:
            suspended.close()
            if isinstance(ended, StopIteration):
                return None
            raise
        return await super().wait_first(_Rest(callback, waits_for), suspended, timeout=timeout)


class _Rest(Awaitable[None]):
    """A coroutine that was stepped once; awaited, it goes on from there.

    Args:
        coroutine: what was stepped.
        waits_for: what that step yielded to the event loop.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, None], waits_for: Any) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, None]:
        waits_for = self._waits_for
        while True:
            try:
                sent = yield waits_for
            except BaseException as error:  # a cancellation is for the coroutine to see
                step = partial(self._coroutine.throw, error)
            else:
                step = partial(self._coroutine.send, sent)
            try:
                waits_for = step()
            except StopIteration:
                return


def step_messages(app: faust.App) -> None:
    """Lets the consumer of an application hand on messages by stepping; keeps Faust's way where unknown."""
    found = version("faust-streaming")
    if found != KNOWN_FAUST:
        _LOG.warning("faust-streaming is %s, not %s: messages go the slow way", found, KNOWN_FAUST)
        return
    app.transport.Consumer = SteppingConsumer
