"""The wall clock: the one place that reads it for records."""

from __future__ import annotations

import time


def now_us() -> int:
    """Now, in epoch microseconds UTC."""
    return time.time_ns() // 1_000
