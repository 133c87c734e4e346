"""Declaring what others do to the target: the platform sees it, and it comes as a request like any other."""

from __future__ import annotations

import logging
import queue
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

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
        run_from_us: when the run began, epoch microseconds UTC. What was over by then is none of its faults,
            and what was in force by then is in force in it from its beginning.
        clock: epoch microseconds UTC.
    """

    def __init__(
        self,
        producer: Producer,
        knows: Callable[[FaultRequest], bool],
        *,
        topic_prefix: str,
        run_from_us: int,
        clock: Callable[[], int],
    ) -> None:
        self._publisher = Publisher(producer, "fault_injector", prefix=topic_prefix, clock=clock)
        self._knows = knows
        self._run_from_us = run_from_us
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
            request = self._of_run(self._waiting[0])
            if request is not None and not self._knows(request):
                self._publisher.publish(request)
                logger.info("others: %s %s on %s", request.action, request.fault_id, request.requested_by)
            self._waiting.popleft()

    def _of_run(self, request: FaultRequest) -> FaultRequest | None:
        """What a request says of the run; None where that is nothing."""
        if request.end_at_us is not None and request.end_at_us <= self._run_from_us:
            return None
        start_us = request.start_at_us
        if start_us is None or start_us >= self._run_from_us:
            return request
        since = datetime.fromtimestamp(start_us / 1e6, UTC).isoformat(timespec="milliseconds")
        return replace(
            request, start_at_us=self._run_from_us, parameters={**request.parameters, "in_force_since": since}
        )
