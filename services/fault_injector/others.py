"""Declaring what others do to the target: the platform sees it, and it comes as a request like any other."""

from __future__ import annotations

import logging
import queue
from collections import deque
from collections.abc import Callable

from microservo.adapters.broker import Producer
from microservo.log.publisher import Publisher
from schemas.records import FaultRequest

logger = logging.getLogger(__name__)


class OthersFaults:
    """Sends declarations to the topic of requests.

    Args:
        producer: writes them.
        knows: whether a request has been processed already; after a restart the platform tells all anew.
        topic_prefix: put before every topic name.
        clock: epoch microseconds UTC.
    """

    def __init__(
        self,
        producer: Producer,
        knows: Callable[[FaultRequest], bool],
        *,
        topic_prefix: str,
        clock: Callable[[], int],
    ) -> None:
        self._publisher = Publisher(producer, "fault_injector", prefix=topic_prefix, clock=clock)
        self._knows = knows
        self._seen: queue.SimpleQueue[FaultRequest] = queue.SimpleQueue()
        self._waiting: deque[FaultRequest] = deque()

    def seen(self, request: FaultRequest) -> None:
        """Is sent in the next round; any thread may call it."""
        self._seen.put(request)

    def send(self) -> None:
        """Sends what was seen and is not known.

        Raises:
            Retryable: the broker is busy; nothing is lost.
        """
        while not self._seen.empty():
            self._waiting.append(self._seen.get())
        while self._waiting:
            request = self._waiting[0]
            if not self._knows(request):
                self._publisher.publish(request)
                logger.info("others: %s %s on %s", request.action, request.fault_id, request.requested_by)
            self._waiting.popleft()
