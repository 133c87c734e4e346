"""Asking every server each second whether it is there."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from microservo.runtime.probe import health_of
from services.balancer.balancer import Balancer, Watched

logger = logging.getLogger(__name__)

ASK_S = 1.0
TIMEOUT_S = 1.0
MOST_FAILURES = 2
"""Questions without a good answer, one after the other, after which a server is down."""
_LOOK_S = 0.1
_ASKING = 32


def is_there(watched: Watched, timeout_s: float = TIMEOUT_S) -> bool:
    """Whether a server takes a connection, or answers 200 where it has a path for that."""
    if watched.health_path:
        return health_of(f"http://{watched.address}{watched.health_path}", timeout_s) == "healthy"
    host, _, port = watched.address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout_s):
            return True
    except OSError:
        return False


class Probing:
    """Asks the servers of a balancer, from a thread of its own until it is closed.

    Args:
        balancer: whose servers they are.
        monotonic_s: seconds of a clock that only runs forward.
    """

    def __init__(self, balancer: Balancer, *, monotonic_s: Callable[[], float]) -> None:
        self._balancer = balancer
        self._monotonic_s = monotonic_s
        self._closed = threading.Event()
        self._asked: dict[Watched, tuple[float, Future[bool] | None]] = {}
        self._failures: dict[Watched, int] = {}
        self._pool = ThreadPoolExecutor(_ASKING, thread_name_prefix="probe")
        self._thread = threading.Thread(target=self._run, name="probing", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends it."""
        self._closed.set()
        self._thread.join()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def look(self) -> None:
        """Heeds the answers that have come, and asks where it is time."""
        watched = self._balancer.watched()
        for gone in self._asked.keys() - set(watched):
            del self._asked[gone]
            self._failures.pop(gone, None)
        for each in watched:
            asked_at_s, answer = self._asked.get(each, (-ASK_S, None))
            if answer is not None and answer.done():
                self._asked[each] = (asked_at_s, None)
                self._heed(each, is_up=answer.result())
            elif answer is None and self._monotonic_s() - asked_at_s >= ASK_S:
                self._asked[each] = (self._monotonic_s(), self._pool.submit(is_there, each))

    def _heed(self, watched: Watched, *, is_up: bool) -> None:
        self._failures[watched] = 0 if is_up else self._failures.get(watched, 0) + 1
        if is_up or self._failures[watched] >= MOST_FAILURES:
            self._balancer.judge(watched, is_up=is_up)

    def _run(self) -> None:
        while not self._closed.wait(_LOOK_S):
            try:
                self.look()
            except Exception:
                logger.exception("a look at the servers failed; the next one follows")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
