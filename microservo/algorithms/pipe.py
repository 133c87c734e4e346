"""The pipe to a fenced process: bytes out, bytes in, each within a time."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable
from typing import IO, Protocol

from microservo.errors import AlgorithmEnded, DeadlineExceeded

ATTEND_S = 0.1
"""Between two calls of what attends while an answer is awaited."""
_CHUNK_BYTES = 1 << 20
_NOT_ANSWERED = "no answer"
_NOT_READ = "what it was asked was not read"


class Pipe(Protocol):
    """Both ends of a process that answers."""

    attend: Callable[[], None]
    """Called before each question, and every `ATTEND_S` while an answer is awaited. It may take its time, and
    no deadline runs out meanwhile."""

    def now_s(self) -> float:
        """A clock in seconds, for deadlines: it stands still while `attend` takes its time."""

    def send(self, data: bytes, deadline_s: float) -> None:
        """Writes all of it.

        Args:
            data: what to write.
            deadline_s: a reading of `now_s`.

        Raises:
            DeadlineExceeded: the other end did not read it by then.
            AlgorithmEnded: there is no other end.
        """

    def receive(self, deadline_s: float) -> bytes:
        """What is there, at least one byte.

        Raises:
            DeadlineExceeded: nothing came by then.
            AlgorithmEnded: nothing will come.
        """


class FilePipe:
    """A pipe of the standard input and output of a process, which are made non-blocking.

    Args:
        stdin: what the process reads.
        stdout: what it writes.
        why_ended: says why the process ended; nothing where that is not known.
    """

    def __init__(
        self, stdin: IO[bytes], stdout: IO[bytes], why_ended: Callable[[], str] = lambda: ""
    ) -> None:
        self._why_ended = why_ended
        self.attend: Callable[[], None] = lambda: None
        self._stdin, self._stdout = stdin, stdout
        self._attended_s = 0.0
        os.set_blocking(stdin.fileno(), False)
        os.set_blocking(stdout.fileno(), False)

    def now_s(self) -> float:
        return time.monotonic() - self._attended_s

    def send(self, data: bytes, deadline_s: float) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._stdin.fileno(), rest) :]
            except BlockingIOError:
                self._wait(self._stdin, select.POLLOUT, deadline_s, _NOT_READ)
            except OSError as error:
                raise self._ended() from error

    def receive(self, deadline_s: float) -> bytes:
        while True:
            try:
                data = os.read(self._stdout.fileno(), _CHUNK_BYTES)
            except BlockingIOError:
                self._wait(self._stdout, select.POLLIN, deadline_s, _NOT_ANSWERED)
                continue
            if not data:
                raise self._ended()
            return data

    def _ended(self) -> AlgorithmEnded:
        """What is raised then; the pipe itself only shows that it ended."""
        unknown = "the process of the algorithm ended without an answer; its log says why"
        return AlgorithmEnded(self._why_ended() or unknown)

    def _wait(self, file: IO[bytes], event: int, deadline_s: float, problem: str) -> None:
        # select would fail on a descriptor above 1023.
        poll = select.poll()
        poll.register(file.fileno(), event)
        while (left_s := deadline_s - self.now_s()) > 0:
            if poll.poll(min(left_s, ATTEND_S) * 1000):
                return
            begun_s = time.monotonic()
            self.attend()
            self._attended_s += time.monotonic() - begun_s
        msg = f"{problem} in time; raise its deadline, or make it faster"
        raise DeadlineExceeded(msg)
