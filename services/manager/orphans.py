"""Containers that bear our tag, and that nothing is recorded of."""

from __future__ import annotations

from collections.abc import Mapping

from microservo.domain.manager import events
from services.manager.lasting import Lasting

PATIENCE_US = 10_000_000
"""Within so long a container that was just launched, or is being stopped, is on the log or gone."""


class Orphans:
    """Tells of each once it has been there for a while."""

    def __init__(self) -> None:
        self._lasting = Lasting(PATIENCE_US)

    def found(self, unrecorded: Mapping[str, str], now_us: int) -> list[events.OrphanFound]:
        """Those that have been there for a while; one that stays is found again and again.

        Args:
            unrecorded: their hosts, by name.
            now_us: epoch microseconds UTC.
        """
        return [
            events.OrphanFound(now_us=now_us, container=name, host=unrecorded[name])
            for name in self._lasting.due(unrecorded, now_us)
        ]
