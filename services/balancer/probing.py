"""Asking every server each second whether it is there."""

from __future__ import annotations

import socket
from collections.abc import Callable
from types import TracebackType
from typing import Self

from microservo.runtime.looking import Looking, Questions
from microservo.runtime.probe import health_of
from services.balancer.balancer import Balancer, Watched

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
        self._questions: Questions[Watched, bool] = Questions(
            is_there, ASK_S, at_once=_ASKING, monotonic_s=monotonic_s
        )
        self._failures: dict[Watched, int] = {}
        self._looking = Looking(self.look, _LOOK_S, name="the servers")

    def close(self) -> None:
        """Ends it."""
        self._looking.close()
        self._questions.close()

    def look(self) -> None:
        """Heeds the answers that have come, and asks where it is time."""
        watched = self._balancer.watched()
        self._failures = {each: self._failures.get(each, 0) for each in watched}
        for each, is_up in self._questions.answers(watched):
            self._failures[each] = 0 if is_up else self._failures[each] + 1
            if is_up or self._failures[each] >= MOST_FAILURES:
                self._balancer.judge(each, is_up=is_up)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
