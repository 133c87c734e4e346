"""Progress that remembers what it was told."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


class RecordedStage:
    """Remembers its calls."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.texts: list[str] = []
        self.shares: list[float] = []

    def advance(self, done: float, total: float) -> None:
        self.shares.append(done / total)

    def show(self, text: str) -> None:
        self.texts.append(text)


class RecordedProgress:
    """Remembers its stages."""

    def __init__(self) -> None:
        self.stages: list[RecordedStage] = []
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    @contextlib.contextmanager
    def stage(self, title: str) -> Iterator[RecordedStage]:
        self.stages.append(RecordedStage(title))
        yield self.stages[-1]
