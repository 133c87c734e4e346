"""What is otherwise than it is recorded for a while: a look may be older than the record, or newer."""

from __future__ import annotations

from collections.abc import Iterable


class Lasting:
    """Remembers since when each name is found, so that nothing is done for what is only under way.

    Args:
        patience_us: microseconds for which a name has to be found.
    """

    def __init__(self, patience_us: int) -> None:
        self._patience_us = patience_us
        self._due_us: dict[str, int] = {}

    def due(self, names: Iterable[str], now_us: int) -> list[str]:
        """Those that have been found for long enough, by name; one that stays is due again and again.

        Args:
            names: all that are found now.
            now_us: epoch microseconds UTC.
        """
        self._due_us = {name: self._due_us.get(name, now_us + self._patience_us) for name in names}
        due = sorted(name for name, due_us in self._due_us.items() if due_us <= now_us)
        self._due_us.update(dict.fromkeys(due, now_us + self._patience_us))
        return due
