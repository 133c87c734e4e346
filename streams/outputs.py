"""Where windows go: the two window topics, and the dead-letter topics of what could not be read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from microservo.adapters.broker import Message, Producer
from microservo.adapters.clock import now_us
from microservo.domain.closed_window import ClosedWindow
from microservo.errors import Retryable
from microservo.log.dead_letters import DeadLetters
from microservo.log.publisher import Publisher
from microservo.retry import retry_async
from microservo.runtime.metrics import WINDOWS_TOTAL
from schemas.records import FeatureWindow, LabelledWindow

_FLUSH_TIMEOUT_S = 30.0
_FULL_QUEUE_PAUSE_S = 0.01
_LONGEST_PAUSE_S = 0.1


class Outputs:
    """Queues windows and dead letters; durable once `durable` has returned.

    Windows go to the partition that their telemetry came from, so one has all windows of its services.
    Their headers say only what the window itself says: they must give away no more than the value.
    """

    def __init__(self, producer: Producer, prefix: str) -> None:
        self._producer = producer
        self._publisher = Publisher(producer, "streams", prefix=prefix, clock=now_us)
        self._dead_letters = DeadLetters(producer, prefix)

    async def window(self, closed: ClosedWindow, partition: int) -> None:
        """Queues one revision: unlabelled where its features are new, labelled always."""
        if closed.features_changed:
            await self._publish(closed.feature_window(), partition)
        await self._publish(closed.labelled_window(), partition)
        WINDOWS_TOTAL.labels(str(closed.revision)).inc()

    async def reject(self, message: Message, reason: str) -> None:
        """Queues a dead letter."""
        await _until_queued(lambda: self._dead_letters.reject(message, reason))

    async def durable(self) -> None:
        """Waits until all that was queued is on the broker.

        Raises:
            Fatal: something could not be delivered.
        """
        await asyncio.get_running_loop().run_in_executor(None, self._producer.flush, _FLUSH_TIMEOUT_S)

    def close(self) -> None:
        """Closes the producer."""
        self._producer.close()

    async def _publish(self, record: FeatureWindow | LabelledWindow, partition: int) -> None:
        await _until_queued(lambda: self._publisher.publish(record, partition=partition))


async def _until_queued(act: Callable[[], None]) -> None:
    """Acts again while the queue is full: the broker is behind, so no more is taken in meanwhile."""

    async def act_again() -> None:
        act()

    try:
        # There nearly always is room, and the machinery of retries takes longer than the act.
        act()
    except Retryable:
        await retry_async(act_again, first_pause_s=_FULL_QUEUE_PAUSE_S, longest_pause_s=_LONGEST_PAUSE_S)
