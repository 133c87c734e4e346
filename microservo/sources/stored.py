"""A source whose store keeps the past: what it holds of a range can be read whole, again and again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from microservo.sources.tailed import Page


class Store(Protocol):
    """Reads ranges of one store; used by one thread."""

    def due(self, begin_us: int, end_us: int) -> int:
        """How many documents the store counts in a range, or how many scrapes there should be in it.

        Args:
            begin_us: microseconds UTC.
            end_us: as above; at least a minute ago.

        Raises:
            MicroServoError: the store can't be read now.
        """

    def between(self, begin_us: int, end_us: int) -> Iterator[Page]:
        """All that the store holds of a range, each record in one of two ranges that meet.

        What takes time, such as a span, belongs to the range that it begins in. Raises as `due`.
        """

    def close(self) -> None:
        """Ends its connections."""
