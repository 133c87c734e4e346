"""Faust's consumer without four tasks for each message.

Its drain hands every message over by `wait_first(callback(message), suspend_flow.wait())`, which makes a task of
each, and two more that wait for the consumer to stop or crash. The callback nearly always ends without waiting
for anything, so it is stepped here, and only one that does wait goes Faust's way, from where it stands.

What this leans on in Faust is held by `tests/unit/streams/test_quick_drain.py`.
"""

from __future__ import annotations

import types
from collections.abc import Coroutine, Generator
from typing import Any

from faust.transport.drivers.aiokafka import Consumer
from mode.services import WaitResults


class QuickConsumer(Consumer):
    """Faust's consumer, with callbacks that end at once called and not scheduled."""

    async def wait_first(self, *waited: Any, timeout: Any = None) -> WaitResults:
        """As Faust's; of two the first is the callback of a message, and the other waits for a rebalance."""
        is_held = self._stopped.is_set() or self._crashed.is_set() or self.suspend_flow.is_set()
        if len(waited) != 2 or timeout is not None or is_held:
            return await super().wait_first(*waited, timeout=timeout)
        callback, suspended = waited
        try:
            awaited = callback.send(None)
        except StopIteration as ended:
            suspended.close()
            return WaitResults([callback], [ended.value], False)
        except BaseException:
            suspended.close()
            raise
        return await super().wait_first(_rest(callback, awaited), suspended)


async def _rest(begun: Coroutine[Any, Any, Any], awaited: Any) -> Any:
    return await _steps(begun, awaited)


@types.coroutine
def _steps(begun: Coroutine[Any, Any, Any], awaited: Any) -> Generator[Any, Any, Any]:
    """The rest of a coroutine that waits for something already."""
    try:
        while True:
            try:
                sent = yield awaited
            except BaseException as error:
                awaited = begun.throw(error)
            else:
                awaited = begun.send(sent)
    except StopIteration as ended:
        return ended.value
