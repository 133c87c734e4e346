"""Processor time of this process, which others on the machine change less than the time on a clock."""

from __future__ import annotations

import time
from collections.abc import Callable


def cpu_s(work: Callable[[], object], *, turns: int = 1) -> float:
    """The least processor time of several turns, in seconds."""
    used_s = []
    for _ in range(turns):
        started_s = time.process_time()
        work()
        used_s.append(time.process_time() - started_s)
    return min(used_s)
