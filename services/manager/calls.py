"""Calls of a driver: several at once, one after the other on one subject, each within its deadline.

A call that hangs can't be ended: threads have no such thing. When its deadline has come it is told as failed,
what waits on the same subject goes on, and another thread takes the place of the one that hangs. What the
call does in the end is logged, and seen by who looks at containers and hosts.
"""

from __future__ import annotations

import heapq
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count

from microservo.errors import InvalidInput, MicroServoError, Retryable, Unavailable

logger = logging.getLogger(__name__)

ATTEMPTS = 5
PAUSE_S = 0.5
"""Before the second attempt; before each further one twice as long."""
_AT_ONCE = 8
_MOST_HUNG = 32
"""While so many hang, what waits gets no thread of its own any more, and its deadline begins."""


@dataclass(slots=True, eq=False, kw_only=True)
class Call:
    """Something that a driver is asked for.

    Attributes:
        subject: that calls are in order on.
        what: for people, as "the launch of c-1".
        attempt: asks; may be repeated without harm.
        within_s: seconds from its beginning until it has failed, all attempts together.
        done: called when it was done in time.
        failed: called with the reason when it failed in time.
        given_up: called with the reason when its deadline came first.
        due_s: when it fails, by the monotonic clock; infinite before it has begun.
    """

    subject: str
    what: str
    attempt: Callable[[], object]
    within_s: float
    done: Callable[[], None]
    failed: Callable[[str], None]
    given_up: Callable[[str], None]
    due_s: float = math.inf
    attempts: int = field(default=0, init=False)
    error: str = field(default="", init=False)
    is_begun: bool = field(default=False, init=False)
    is_over: bool = field(default=False, init=False)

    def why_late(self) -> str:
        """What became of it by its deadline, in a sentence."""
        if not self.is_begun:
            far = f"it was not begun: {_MOST_HUNG} earlier calls or more have no answer yet"
        elif self.error:
            far = f"attempt {self.attempts} has no answer yet, the one before failed: {self.error}"
        else:
            far = f"attempt {self.attempts} has no answer yet"
        return f"{self.what} is not done after {self.within_s:g} s; {far}"


class Calls:
    """Makes calls in threads of its own.

    Args:
        pause_s: before the second attempt.
    """

    def __init__(self, *, pause_s: float = PAUSE_S) -> None:
        self._pause_s = pause_s
        self._lock = threading.Lock()
        self._to_begin = threading.Condition(self._lock)
        self._to_watch = threading.Condition(self._lock)
        self._idle = threading.Condition(self._lock)
        self._closed = threading.Event()
        self._lines: dict[str, deque[Call]] = {}
        """The calls on each subject; the first one is under way, or ready."""
        self._ready: deque[Call] = deque()
        self._begun: list[tuple[float, int, Call]] = []
        """By deadline, also some that are over."""
        self._numbers = count()
        self._threads = 0
        """Those that work; without those that hang."""
        self._free = 0
        self._hung = 0
        threading.Thread(target=self._watch, name="deadlines", daemon=True).start()

    def add(self, call: Call) -> None:
        """Makes a call, once those before it on the same subject are over; returns at once."""
        with self._lock:
            line = self._lines.setdefault(call.subject, deque())
            line.append(call)
            if len(line) == 1:
                self._get_ready(call)

    def wait_idle(self, timeout_s: float) -> bool:
        """Whether all calls are over, within so many seconds."""
        with self._idle:
            return self._idle.wait_for(lambda: not self._lines, timeout_s)

    def close(self) -> None:
        """Begins nothing any more; what is under way is left to itself."""
        self._closed.set()
        with self._lock:
            self._to_begin.notify_all()
            self._to_watch.notify_all()

    def _get_ready(self, call: Call) -> None:
        self._ready.append(call)
        self._staff()
        self._to_begin.notify()

    def _staff(self) -> None:
        """Starts a thread for what waits, if there may be one more; a deadline begins where there is none."""
        if self._free >= len(self._ready):
            return
        if self._threads < _AT_ONCE and self._hung < _MOST_HUNG:
            self._threads += 1
            threading.Thread(target=self._work, name="perform", daemon=True).start()
        elif not self._threads:
            for call in self._ready:
                self._set_deadline(call)

    def _set_deadline(self, call: Call) -> None:
        if call.due_s == math.inf:
            call.due_s = time.monotonic() + call.within_s
            heapq.heappush(self._begun, (call.due_s, next(self._numbers), call))
            self._to_watch.notify()

    def _work(self) -> None:
        while (call := self._next()) is not None:
            error = self._tried(call)
            if self._is_first_to_end(call):
                with self._over(call):
                    call.failed(error) if error else call.done()
            elif not self._is_needed_again(call, error):
                return

    def _next(self) -> Call | None:
        """The next call, begun; None once there are to be no more."""
        with self._lock:
            self._free += 1
            self._to_begin.wait_for(lambda: self._ready or self._closed.is_set())
            self._free -= 1
            if self._closed.is_set():
                self._threads -= 1
                return None
            call = self._ready.popleft()
            call.is_begun = True
            self._set_deadline(call)
            return call

    def _tried(self, call: Call) -> str:
        """Why it can't be done; empty where it was."""
        for number in range(ATTEMPTS):
            if number and (self._closed.wait(self._pause_s * 2 ** (number - 1)) or call.is_over):
                break
            call.attempts = number + 1
            try:
                call.attempt()
            except Retryable as error:
                call.error = str(error)
            except (InvalidInput, Unavailable) as error:
                return str(error)
            except (MicroServoError, OSError) as error:
                return f"{type(error).__name__}: {error}"
            except Exception as error:
                logger.exception("%s failed in a way that nobody thought of", call.what)
                return f"{type(error).__name__}: {error}"
            else:
                return ""
        return call.error or "the manager ends"

    def _is_first_to_end(self, call: Call) -> bool:
        with self._lock:
            was_over, call.is_over = call.is_over, True
            return not was_over

    def _is_needed_again(self, call: Call, error: str) -> bool:
        """Whether a thread that hung goes on; no more of them may work than before."""
        logger.warning(
            "%s, which was given up, %s in the end", call.what, f"failed: {error}" if error else "was done"
        )
        with self._lock:
            self._hung -= 1
            if self._threads >= _AT_ONCE:
                return False
            self._threads += 1
            return True

    @contextmanager
    def _over(self, call: Call) -> Iterator[None]:
        """Goes on with the subject of a call once it was said what came of it."""
        try:
            yield
        finally:
            with self._lock:
                line = self._lines[call.subject]
                line.popleft()
                if line:
                    self._get_ready(line[0])
                else:
                    del self._lines[call.subject]
                    self._idle.notify_all()

    def _watch(self) -> None:
        while not self._closed.is_set():
            for call in self._wait_for_late():
                reason = call.why_late()
                logger.warning("%s", reason)
                with self._over(call):
                    call.given_up(reason)

    def _wait_for_late(self) -> list[Call]:
        """Waits for the next deadline, and gives up the calls that are late by then."""
        late = []
        with self._lock:
            if not self._begun:
                self._to_watch.wait()
            elif (left_s := self._begun[0][0] - time.monotonic()) > 0:
                self._to_watch.wait(left_s)
            while self._begun and (self._begun[0][2].is_over or self._begun[0][0] <= time.monotonic()):
                call = heapq.heappop(self._begun)[2]
                if not call.is_over:
                    self._give_up(call)
                    late.append(call)
        return late

    def _give_up(self, call: Call) -> None:
        call.is_over = True
        if call.is_begun:
            self._threads -= 1
            self._hung += 1
            self._staff()
        else:
            self._ready.remove(call)
