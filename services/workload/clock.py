"""The clock that an instance reads: the machine's, unless something sets it wrong."""

from __future__ import annotations

import time


class InstanceClock:
    """Epoch time, UTC, of the machine and what is added to it.

    Attributes:
        offsets_us: by name of what sets it wrong, in microseconds; negative ones set it back.
    """

    def __init__(self) -> None:
        self.offsets_us: dict[str, int] = {}

    def now_ns(self) -> int:
        """Nanoseconds."""
        return time.time_ns() + 1_000 * sum(self.offsets_us.values())

    def now_us(self) -> int:
        """Microseconds."""
        return self.now_ns() // 1_000
