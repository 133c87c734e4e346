"""What a command is, and what its handler works with."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Generic, TypeVar

from microservo.adapters.clock import now_us
from microservo.application.connection import Connection
from microservo.application.progress import SILENT, Progress

R_co = TypeVar("R_co", covariant=True)


class Command(Generic[R_co]):
    """Something that can be asked for; its subclasses are frozen dataclasses, `R_co` is what comes of it."""

    __slots__ = ()


class Context:
    """What handlers work with.

    Args:
        connect: gives the connection; called when a handler first needs it, since some acts need none.
        clock: epoch microseconds UTC; the machine's if not given.
        progress: shown how far a long act is.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        *,
        clock: Callable[[], int] | None = None,
        progress: Progress = SILENT,
    ) -> None:
        self._connect = connect
        self.clock = clock or now_us
        self.progress = progress

    @cached_property
    def connection(self) -> Connection:
        """The broker and the running system.

        Raises:
            Unavailable: no broker was named and no system runs.
            InvalidInput: the settings of the broker contradict one another.
        """
        return self._connect()

    def with_progress(self, progress: Progress) -> Context:
        """The same with another progress."""
        return Context(lambda: self.connection, clock=self.clock, progress=progress)
