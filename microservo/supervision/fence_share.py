"""Whether a process uses more processors than its share, so that it must pause."""

from __future__ import annotations

BURST_S = 1.0
"""How long all processors that it may have can be saved up while it does little."""


class CpuShare:
    """A debt of CPU seconds that is paid off at the rate of the share.

    Args:
        cpus: the share, in processors.
        now_s: since when it counts; of any clock that only goes forward.
    """

    def __init__(self, cpus: float, now_s: float) -> None:
        self._cpus = cpus
        self._at_s = now_s
        self._used_s = 0.0
        self._debt_s = -BURST_S * cpus

    def is_exceeded(self, used_s: float, now_s: float) -> bool:
        """Whether all that was used by now is more than its share allows."""
        earned_s = (now_s - self._at_s) * self._cpus
        self._debt_s = max(self._debt_s + used_s - self._used_s - earned_s, -BURST_S * self._cpus)
        self._at_s, self._used_s = now_s, used_s
        return self._debt_s > 0
