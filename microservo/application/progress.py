"""How a long act shows how far it is; the command line draws it, a program may pass a function."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol


class Stage(Protocol):
    """One stage while it goes on."""

    def advance(self, done: float, total: float) -> None:
        """So much of it is done."""

    def show(self, text: str) -> None:
        """What it is at now; at the end, what came of it."""


class Progress(Protocol):
    """Shows stages one after another."""

    def stage(self, title: str) -> AbstractContextManager[Stage]:
        """A stage that lasts as long as the context; it has failed if that ends with an error."""

    def note(self, text: str) -> None:
        """A line about something that happened by itself, at any time and from any thread."""


class CallbackProgress:
    """Calls a function with what is done and the total of every stage, and shows nothing else."""

    def __init__(self, callback: Callable[[float, float], None]) -> None:
        self._callback = callback

    @contextlib.contextmanager
    def stage(self, title: str) -> Iterator[CallbackProgress]:
        """This very object, whatever the title."""
        del title
        yield self

    def note(self, text: str) -> None:
        """Shows nothing."""

    def advance(self, done: float, total: float) -> None:
        """Calls the function."""
        self._callback(done, total)

    def show(self, text: str) -> None:
        """Shows nothing."""


SILENT = CallbackProgress(lambda _done, _total: None)
"""Shows nothing at all."""
