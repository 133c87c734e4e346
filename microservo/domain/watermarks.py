"""How far event time has come: the smallest promise of all writers of all sources."""

from __future__ import annotations

from collections.abc import Sequence

from microservo.errors import InvalidMessage
from schemas.envelope import Stamp

UNKNOWN = -1
"""Watermark before every writer of every source has been heard."""


class Watermarks:
    """The promises heard on one partition number of several co-partitioned topics.

    Args:
        sources: topics whose promises must all be known before time moves.
    """

    def __init__(self, sources: Sequence[str]) -> None:
        self._promises: dict[str, dict[str, int]] = {source: {} for source in sources}
        self._lows = dict.fromkeys(sources, UNKNOWN)
        self._low = UNKNOWN

    def hear(self, source: str, stamp: Stamp) -> None:
        """Takes in the promise that a message of `source` carries.

        Raises:
            InvalidMessage: the writer takes back an earlier promise.
        """
        promises = self._promises[source]
        before = promises.get(stamp.writer, UNKNOWN)
        if stamp.watermark_us < before:
            msg = f"{stamp.writer} took its promise back: {before} was followed by {stamp.watermark_us}"
            raise InvalidMessage(msg)
        promises[stamp.writer] = stamp.watermark_us
        self._lows[source] = min(promises.values()) if len(promises) >= stamp.writers else UNKNOWN
        self._low = min(self._lows.values())

    def low(self) -> int:
        """Microseconds UTC that no on-time record can be older than; UNKNOWN while a writer is unheard."""
        return self._low
