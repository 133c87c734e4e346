"""How a long start, and a campaign, tell how far they are; the command line draws it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol


class Stage(Protocol):
    """One stage while it goes on."""

    def advance(self, done: float, total: float) -> None:
        """So much of it is done."""

    def tell(self, text: str) -> None:
        """What it is at now; at the end, what came of it."""


class Progress(Protocol):
    """Shows stages one after another."""

    def stage(self, title: str) -> AbstractContextManager[Stage]:
        """A stage that lasts as long as the context; it has failed if that ends with an error."""

    def note(self, text: str) -> None:
        """A line about something that happened by itself, at any time and from any thread."""
