"""Names that senders choose, bounded: what a sender makes up without end becomes one name."""

from __future__ import annotations

OTHER = "<other>"


class BoundedNames:
    """Admits the first `limit` different names of each service; later ones become `<other>`.

    Example:
        >>> names = BoundedNames(1)
        >>> [names.admit("cart", name) for name in ("GetCart", "AddItem", "GetCart")]
        ['GetCart', '<other>', 'GetCart']
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: dict[str, set[str]] = {}

    def admit(self, service: str, name: str) -> str:
        """The name itself, or `<other>`."""
        known = self._known.setdefault(service, set())
        if name in known:
            return name
        if len(known) >= self._limit:
            return OTHER
        known.add(name)
        return name
