"""Names that senders choose, bounded: those made up without end become one name, and a long one is cut."""

from __future__ import annotations

from hashlib import blake2s

OTHER = "<other>"
MAX_NAME_CHARS = 256
_DIGEST_BYTES = 6


def cut(name: str, limit_chars: int = MAX_NAME_CHARS) -> str:
    """The name, or as much as fits before `~` and a digest of the whole: two long ones stay apart.

    Example:
        >>> cut("GetCart"), cut("a" * 300) == cut("a" * 301), len(cut("a" * 300))
        ('GetCart', False, 256)
    """
    if len(name) <= limit_chars:
        return name
    ending = "~" + blake2s(name.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).hexdigest()
    return name[: limit_chars - len(ending)] + ending


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
