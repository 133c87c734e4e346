"""Hosts that are recorded as running, and that the driver does not see.

That a host has failed is told once, to whoever manages it. A manager that gets it afterwards, from a worker
that has ended, was never told.
"""

from __future__ import annotations

from collections.abc import Iterable

from microservo.domain.manager import events
from services.manager.lasting import Lasting

PATIENCE_US = 3_000_000
"""Within so long a host that another process has seen is seen here."""


class AbsentHosts:
    """Tells of each once it has been absent for a while."""

    def __init__(self) -> None:
        self._lasting = Lasting(PATIENCE_US)

    def found(self, absent: Iterable[str], now_us: int) -> list[events.HostDown]:
        """Those that are down.

        Args:
            absent: all that are not seen now, by name.
            now_us: epoch microseconds UTC.
        """
        return [
            events.HostDown(now_us=now_us, host=host, reason="the driver knows nothing of it")
            for host in self._lasting.due(absent, now_us)
        ]
