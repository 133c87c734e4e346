"""A bounded memory of what was answered, so that a repeated request gets the same answer."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

REMEMBERED = 1024


class Remembered(Generic[K, V]):
    """The newest values by key, so many at the most.

    Example:
        >>> remembered = Remembered[str, int](2)
        >>> for name in ("a", "b", "c"):
        ...     remembered[name] = 1
        >>> remembered.get("a"), remembered.get("c")
        (None, 1)
    """

    def __init__(self, most: int = REMEMBERED) -> None:
        self._most = most
        self._values: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        return self._values.get(key)

    def __setitem__(self, key: K, value: V) -> None:
        self._values.pop(key, None)
        self._values[key] = value
        if len(self._values) > self._most:
            self._values.popitem(last=False)

    def forget(self, key: K) -> None:
        """Removes a key, if it is there."""
        self._values.pop(key, None)
