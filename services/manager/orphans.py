"""Containers that bear our tag, and that nothing is recorded of."""

from __future__ import annotations

from collections.abc import Mapping

from microservo.domain.manager import events

PATIENCE_US = 10_000_000
"""Within so long a container that was just launched, or is being stopped, is on the log or gone."""


class Orphans:
    """Remembers since when each is seen, so that none is stopped for what is only under way."""

    def __init__(self) -> None:
        self._due_us: dict[str, int] = {}

    def found(self, unrecorded: Mapping[str, str], now_us: int) -> list[events.OrphanFound]:
        """Those that have been there for a while; one that stays is found again and again.

        Args:
            unrecorded: their hosts, by name.
            now_us: epoch microseconds UTC.
        """
        self._due_us = {name: self._due_us.get(name, now_us + PATIENCE_US) for name in unrecorded}
        due = sorted(name for name, due_us in self._due_us.items() if due_us <= now_us)
        self._due_us.update(dict.fromkeys(due, now_us + PATIENCE_US))
        return [events.OrphanFound(now_us=now_us, container=name, host=unrecorded[name]) for name in due]
