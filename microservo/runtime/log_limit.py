"""Lines of the log that would come too often: one of each kind in a while, and how many were withheld."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable

_OTHER = "other"
_VARYING = re.compile(r"'[^']*'|\"[^\"]*\"|\d+")
_KIND_CHARS = 120


class LogLimit:
    """Decides which lines are written; may be asked from many threads.

    Args:
        period_s: how long after a line of a kind the next of that kind is withheld.
        limit_kinds: so many kinds are told apart; all further ones are one, "other".
        clock_s: seconds that never fall.
    """

    def __init__(
        self, period_s: float = 60.0, *, limit_kinds: int = 100, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._period_s = period_s
        self._limit = limit_kinds
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._logged_at_s: dict[tuple[str, str], float] = {}
        self._withheld: dict[tuple[str, str], int] = {}

    def kind(self, topic: str, reason: str) -> str:
        """What a reason has in common with others: its numbers and quotations are left out.

        Example:
            >>> LogLimit().kind("telemetry-logs", "body of 7 bytes is no 'x'")
            'body of # bytes is no #'
        """
        kind = _VARYING.sub("#", reason)[:_KIND_CHARS]
        with self._lock:
            known = (topic, kind) in self._logged_at_s
            return kind if known or len(self._logged_at_s) < self._limit else _OTHER

    def end_of_line(self, topic: str, kind: str) -> str | None:
        """What the line about one more of a kind ends with; None where it is withheld."""
        key = (topic, kind)
        with self._lock:
            now_s = self._clock_s()
            if key in self._logged_at_s and now_s - self._logged_at_s[key] < self._period_s:
                self._withheld[key] = self._withheld.get(key, 0) + 1
                return None
            self._logged_at_s[key] = now_s
            withheld = self._withheld.pop(key, 0)
        return f" (and {withheld} more since the line before)" if withheld else ""
