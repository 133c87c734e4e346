"""Text to numbers and back, so that rows hold and compare numbers only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int32]

_CACHED_LISTS = 4096


class Dictionary:
    """The texts that one windower has met. Numbers follow arrival, so they never leave this process."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._texts: list[str] = []
        self._cache: dict[tuple[str, ...], Numbers] = {}

    def numbers(self, texts: tuple[str, ...]) -> Numbers:
        """The number of each text, shape (texts,). Mostly the same array for the same texts."""
        found = self._cache.get(texts)
        if found is None:
            if len(self._cache) >= _CACHED_LISTS:
                self._cache.clear()
            found = np.fromiter(map(self._number, texts), np.int32, len(texts))
            self._cache[texts] = found
        return found

    def text(self, number: int) -> str:
        """The text of a number."""
        return self._texts[number]

    def ranks(self, numbers: Numbers) -> Numbers:
        """The same column with each number replaced by the rank of its text among the column's texts."""
        different, places = np.unique(numbers, return_inverse=True)
        texts = [self._texts[number] for number in different.tolist()]
        ranks = np.empty(len(texts), np.int32)
        ranks[sorted(range(len(texts)), key=texts.__getitem__)] = np.arange(len(texts), dtype=np.int32)
        ranked: Numbers = ranks[places]
        return ranked

    def _number(self, text: str) -> int:
        number = self._numbers.setdefault(text, len(self._texts))
        if number == len(self._texts):
            self._texts.append(text)
        return number
