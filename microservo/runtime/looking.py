"""Looking at others again and again: from a thread of its own, and by questions that nobody waits for."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Self, TypeVar

from microservo.errors import MicroServoError

logger = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)
A = TypeVar("A")


class Looking:
    """Looks again and again until it is closed; where a look fails that is logged, and the next one follows.

    Args:
        look: looks once.
        every_s: pause between two looks, in seconds.
        name: of what is looked at, in the log.
    """

    def __init__(self, look: Callable[[], object], every_s: float, *, name: str) -> None:
        self._look = look
        self._every_s = every_s
        self._name = name
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends it, when the look under way is done."""
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.wait(self._every_s):
            try:
                self._look()
            except MicroServoError as error:
                logger.warning("a look at %s failed: %s", self._name, error)
            except Exception:
                logger.exception("a look at %s failed; the next one follows", self._name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Questions(Generic[K, A]):
    """One question for each of many, asked anew some time after it was asked; belongs to one thread.

    Args:
        ask: asks; called in other threads.
        every_s: from one question to the next one of the same, in seconds.
        at_once: so many are under way at the most.
        monotonic_s: seconds of a clock that only runs forward.
    """

    def __init__(
        self, ask: Callable[[K], A], every_s: float, *, at_once: int, monotonic_s: Callable[[], float]
    ) -> None:
        self._ask = ask
        self._every_s = every_s
        self._monotonic_s = monotonic_s
        self._asked: dict[K, tuple[float, Future[A] | None]] = {}
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="ask")

    def answers(self, of: Iterable[K]) -> Iterator[tuple[K, A]]:
        """The answers that have come since the last time; asks where it is time, and forgets all others."""
        wanted = dict.fromkeys(of)
        self._asked = {key: asked for key, asked in self._asked.items() if key in wanted}
        for key in wanted:
            asked_at_s, answer = self._asked.get(key, (-self._every_s, None))
            if answer is not None and answer.done():
                self._asked[key] = asked_at_s, None
                yield key, answer.result()
            elif answer is None and self._monotonic_s() - asked_at_s >= self._every_s:
                self._asked[key] = self._monotonic_s(), self._pool.submit(self._ask, key)

    def close(self) -> None:
        """Asks no more; what is under way is left to itself."""
        self._pool.shutdown(wait=False, cancel_futures=True)
