"""Which registries are silent, judged by their order on the log alone: no clock of any machine counts.

Each registry says every other second on the log that it is there. One is silent where this registry has said
so several times since the other one did. While the broker is away nobody's words come, so nobody is silent.
"""

from __future__ import annotations

SILENT_AFTER = 4
"""Own words since the last one of a peer; 8 s where each comes every 2 s."""
GONE_AFTER = 30
"""Likewise: what a peer has registered is forgotten after a minute."""


class Peers:
    """The registries that were heard of.

    Args:
        own: the name of this one.
    """

    def __init__(self, own: str) -> None:
        self._own = own
        self._words = 0
        self._heard: dict[str, int] = {}
        self._left: set[str] = set()

    def said(self) -> None:
        """This registry's own words have come by way of the log."""
        self._words += 1

    def heard(self, name: str) -> None:
        """A registry has written something."""
        if name != self._own:
            self._heard[name] = self._words
            self._left.discard(name)

    def left(self, name: str) -> None:
        """A registry has said that it ends."""
        if name != self._own:
            self._heard.setdefault(name, self._words)
            self._left.add(name)

    def silent(self) -> frozenset[str]:
        """Registries whose words may be no longer true."""
        return frozenset(name for name in self._heard if self._since(name) >= SILENT_AFTER) | self._left

    def gone(self) -> list[str]:
        """Registries whose instances this one shall remove, as the first by name of those that are there."""
        silent = self.silent()
        others = [name for name in self._heard if name not in silent]
        if any(name < self._own for name in others):
            return []
        return sorted(name for name in silent if self._since(name) >= GONE_AFTER)

    def forget(self, name: str) -> None:
        """Nothing of this registry is left."""
        self._heard.pop(name, None)
        self._left.discard(name)

    def _since(self, name: str) -> int:
        return self._words - self._heard[name]
