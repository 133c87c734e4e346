"""Which templates of log lines have a feature of their own.

A template that is first seen while a fault goes on would tell of the fault by its mere name: no window before
has it. So the names are those of a service's first minute, and all other lines count together, which shows as
well that something new is said. Of a service that lives long, what is new has a name an hour later.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

_LEARNING_US = 60_000_000
_NEW_FOR_US = 3_600_000_000
_NAMED = 100
"""Templates with a feature of their own; each may have 120 characters, and an inventory holds them all."""


class Vocabulary:
    """The templates of one service.

    Attributes:
        since_us: when its first line came; 0 if none did.
    """

    def __init__(self) -> None:
        self.since_us = 0
        self._named_us: dict[str, int] = {}

    def add(self, templates: Iterable[str], now_us: int) -> None:
        """Learns the templates of lines that come now."""
        self.since_us = self.since_us or now_us
        is_learning = now_us < self.since_us + _LEARNING_US
        for template in templates:
            # The packer bounds how many different ones there are.
            self._named_us.setdefault(template, now_us if is_learning else now_us + _NEW_FOR_US)

    def named(self, now_us: int) -> tuple[str, ...]:
        """Those that have a feature of their own, sorted."""
        return tuple(sorted(islice((each for each, us in self._named_us.items() if us <= now_us), _NAMED)))

    def restore(self, templates: Iterable[str], since_us: int) -> None:
        """Takes up what an earlier process had named."""
        self.since_us = since_us
        self._named_us = dict.fromkeys(templates, 0)
