"""What the state is made of: sets of names in order, what is measured, what is tried again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from microservo.domain.rules import Measurements, Membership, Outcome, Streaks

Names = dict[str, None]
"""A set that keeps the order in which names came."""


class Measured:
    """What is measured of hosts, or of containers, and what the rules last said of it."""

    def __init__(self, metrics: Measurements, streaks: Streaks) -> None:
        self.metrics = metrics
        self.streaks = streaks
        self.membership = Membership()
        self.outcome: Outcome | None = None
        self.is_news = False
        """Whether something was measured since the last evaluation."""

    def slots(self, names: Iterator[str]) -> np.ndarray[Any, np.dtype[np.int64]]:
        """The slots of those that are known."""
        found = (self.metrics.slot_of(name) for name in names)
        return np.array([slot for slot in found if slot is not None], np.int64)


class Retries:
    """What found no room, and is tried again when `due_us` has come."""

    def __init__(self) -> None:
        self.due_us = 0
        self.services: Names = {}
        """Those that lack replicas."""
        self.regions: Names = {}
        """Those that lack a component."""
        self.containers: Names = {}
        """Those that ended and are to come back."""


def set_entry(found: dict[str, Any], name: str, value: Any) -> None:
    """Enters a value, or takes it out where it is None."""
    if value is None:
        found.pop(name, None)
    else:
        found[name] = value


def add_entry(index: dict[str, Names], key: str, name: str) -> None:
    """Enters a name under a key."""
    index.setdefault(key, {})[name] = None


def discard_entry(index: dict[str, Names], key: str, name: str) -> None:
    """Takes a name out, and its key with the last one."""
    names = index.get(key)
    if names is not None and name in names:
        del names[name]
        if not names:
            del index[key]
