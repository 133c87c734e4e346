"""The newest windows, held back from learning: what goes on just now is not yet part of the past."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Window = Mapping[Any, float]


class Guard:
    """Windows become due for learning in their order, each when `windows` newer ones have come.

    Without it a fault would be compared with itself from its second window on: one window of it widens a
    standard deviation so much that the next seems usual. The first windows are due at once.

    Args:
        windows: how many are held back.
        warm_up_windows: how many are due at once.

    Source: the guard cells of radar detection with a constant rate of false alarms (CFAR; Finn and Johnson,
    RCA Review 29, 1968).
    """

    def __init__(self, windows: int, warm_up_windows: int) -> None:
        self._windows = windows
        self._left = warm_up_windows
        self._held: list[Window] = []

    def take(self, window: Window) -> Sequence[Window]:
        """Takes the newest window, and gives those that are due."""
        if self._left > 0:
            self._left -= 1
            return [window]
        self._held.append(window)
        return [self._held.pop(0)] if len(self._held) > self._windows else []

    def snapshot(self) -> list[dict[Any, float]]:
        """The windows that are held."""
        return [dict(window) for window in self._held]

    def restore(self, snapshot: Iterable[Window], left: int) -> None:
        """Goes on from a snapshot, with so many windows still due at once."""
        self._held, self._left = [dict(window) for window in snapshot], left
