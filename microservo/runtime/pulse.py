"""A watchdog: a process whose loop hangs has no pulse, and is restarted."""

from __future__ import annotations

import time

LONGEST_ROUND_S = 60.0


class Pulse:
    """Beats once per round of a loop; any thread may ask whether it goes on.

    Args:
        longest_round_s: how long a round may last.
    """

    def __init__(self, longest_round_s: float = LONGEST_ROUND_S) -> None:
        self._longest_round_s = longest_round_s
        self._last_s = time.monotonic()

    @property
    def silent_s(self) -> float:
        """Seconds since the last beat."""
        return time.monotonic() - self._last_s

    def beat(self) -> None:
        """One round is done."""
        self._last_s = time.monotonic()

    def is_alive(self) -> bool:
        """Whether a round was done lately."""
        return self.silent_s < self._longest_round_s
