"""Who said lately that it is there."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

LEASE_S = 4.0
"""Two of the heartbeats that are sent every 2 s may be lost, or come late."""


class Leases:
    """Keys with the instant at which each was last heard of; all leases are equally long.

    Args:
        lease_s: seconds of silence after which a lease ends.

    Example:
        >>> leases = Leases(4.0)
        >>> leases.renew("a", 0.0), leases.renew("b", 3.0)
        (None, None)
        >>> leases.ended(5.0)
        ['a']
    """

    def __init__(self, lease_s: float = LEASE_S) -> None:
        self._lease_s = lease_s
        # In the order of the instants, so that nothing but what has ended is looked at.
        self._renewed_at_s: OrderedDict[str, float] = OrderedDict()

    def renew(self, key: str, at_s: float) -> None:
        """Begins a lease, or goes on with one; instants don't fall."""
        self._renewed_at_s[key] = at_s
        self._renewed_at_s.move_to_end(key)

    def release(self, key: str) -> None:
        """Ends a lease, if there is one."""
        self._renewed_at_s.pop(key, None)

    def ended(self, at_s: float) -> list[str]:
        """Removes and returns the keys of which nothing was heard for too long."""
        return list(self._take_ended(at_s))

    def _take_ended(self, at_s: float) -> Iterator[str]:
        while self._renewed_at_s:
            key, renewed_at_s = next(iter(self._renewed_at_s.items()))
            if at_s - renewed_at_s <= self._lease_s:
                return
            del self._renewed_at_s[key]
            yield key
