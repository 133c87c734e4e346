"""Whether every service of a target sends: a target that runs and sends nothing gives no data."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from microservo.adapters.broker import Broker
from microservo.errors import Unavailable
from schemas.catalogue import TELEMETRY_LOGS, TELEMETRY_TRACES

_BATCH = 1000
_POLL_S = 0.2


class FirstTelemetry:
    """Waits for the first spans or log lines of each service; metrics of the host's sampler don't count.

    Make it before the target is started: what came earlier is not seen.

    Args:
        broker: has the topics already.
        topic_prefix: put before every topic name.
        services: who shall send.
    """

    def __init__(self, broker: Broker, topic_prefix: str, services: Iterable[str]) -> None:
        self._services = set(services)
        self._silent = {service.encode() for service in self._services}
        self._consumer = broker.consumer(group_id=None)
        topics = [topic_prefix + TELEMETRY_LOGS, topic_prefix + TELEMETRY_TRACES]
        partitions = [each for topic in topics for each in self._consumer.partitions(topic)]
        self._consumer.assign({each: self._consumer.offset_range(each)[1] for each in partitions})

    def wait(self, timeout_s: float, log_dir: Path, on_count: Callable[[int, int], None]) -> None:
        """Waits until all have sent.

        Args:
            timeout_s: so long at the most.
            log_dir: where the logs of the services are, for the message.
            on_count: gets how many have sent, and of how many.

        Raises:
            Unavailable: some have not; names them.
        """
        deadline_s = time.monotonic() + timeout_s
        while self._silent:
            if time.monotonic() >= deadline_s:
                raise Unavailable(self._problem(timeout_s, log_dir))
            self._silent -= {message.key for message in self._consumer.consume(_BATCH, _POLL_S)}
            on_count(len(self._services) - len(self._silent), len(self._services))

    def _problem(self, timeout_s: float, log_dir: Path) -> str:
        names = ", ".join(sorted(name.decode() for name in self._silent))
        return (
            f"no span or log line came from {names} within {timeout_s:g} s ({len(self._silent)} of "
            f"{len(self._services)} services); the logs in {log_dir} may tell why"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._consumer.close()
