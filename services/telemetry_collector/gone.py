"""The services of the run that were declared gone, as its record says; read by a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from microservo.adapters.broker import Broker
from microservo.errors import MicroServoError
from microservo.log.run_records import KnownRuns

logger = logging.getLogger(__name__)

_LOOK_S = 1.0
_CLOSE_S = 10.0


class GoneServices:
    """Follows the run's record; use it as a context.

    Args:
        broker: where the run is.
        topic_prefix: put before every topic name.
        run_id: the run.
        clock: epoch microseconds UTC.
    """

    def __init__(self, broker: Broker, topic_prefix: str, run_id: str, clock: Callable[[], int]) -> None:
        self._runs = KnownRuns(broker, topic_prefix, clock)
        self._run_id = run_id
        self._gone_us: Mapping[str, int] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="gone-services", daemon=True)

    def __call__(self) -> Mapping[str, int]:
        """When each was declared gone last, in microseconds UTC; by service."""
        return self._gone_us

    def _follow(self) -> None:
        while not self._over.wait(_LOOK_S):
            try:
                self._runs.refresh()
            except MicroServoError as error:
                # Until it can be read, what is gone is taken to be silent.
                logger.warning("the record of the run can't be read for now: %s", error)
                continue
            run = self._runs.get(self._run_id)
            self._gone_us = {each.service: each.at_us for each in run.gone} if run else {}
        self._runs.close()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join(_CLOSE_S)
