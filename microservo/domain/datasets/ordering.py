"""The one order of rows, whatever order they were read in, and what counts as the same row.

Rows are sorted by time, then by series (service, instance and name), then by all else they hold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.intp]
Codes = NDArray[np.int32]
TieKeys = Callable[[Index], Sequence[NDArray[np.int64]]]

_SERIES_BITS = 31
_KEY_BITS = 63
_CACHED_TUPLES = 4096


class Vocabulary:
    """Texts as small numbers, given out in order of appearance."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}
        self._cache: dict[tuple[str, ...], Codes] = {}

    def __len__(self) -> int:
        return len(self._codes)

    def codes(self, texts: tuple[str, ...]) -> Codes:
        """The number of each text, shape (texts,); quick for a tuple that was asked for before."""
        found = self._cache.get(texts)
        if found is None:
            if len(self._cache) >= _CACHED_TUPLES:
                self._cache.clear()
            codes = self._codes
            found = np.array([codes.setdefault(text, len(codes)) for text in texts], np.int32)
            self._cache[texts] = found
        return found

    def texts(self) -> list[str]:
        """The texts by their numbers."""
        return list(self._codes)

    def ranks(self) -> NDArray[np.int64]:
        """The place of each number's text among all texts, sorted by code point."""
        ranks = np.empty(len(self), np.int64)
        for rank, text in enumerate(sorted(self._codes)):
            ranks[self._codes[text]] = rank
        return ranks


def series(columns: Sequence[tuple[Codes, Vocabulary]]) -> NDArray[np.int64]:
    """One number per row that sorts as the tuple of its texts does.

    Args:
        columns: codes of shape (rows,) and the vocabulary they are from, most significant first.
    """
    combined = np.zeros(len(columns[0][0]), np.int64)
    for codes, vocabulary in columns:
        combined = combined * max(1, len(vocabulary)) + vocabulary.ranks()[codes]
    return combined


def canonical_order(time_us: NDArray[np.int64], row_series: NDArray[np.int64], tie_keys: TieKeys) -> Index:
    """Indices that put rows in canonical order and keep one of each set of identical rows.

    Args:
        time_us: microseconds UTC, shape (rows,).
        row_series: `series`, shape (rows,).
        tie_keys: gives, for rows that agree in time and series, keys of all else they hold, most significant
            first.
            Rows that agree in all of these but the last are the same row; the one with the lowest last key is
            kept.
    """
    order = _by_time_and_series(time_us, row_series)
    tied = _tied(time_us[order], row_series[order])
    if not tied.any():
        return order
    places = np.flatnonzero(tied)
    rows = order[places]
    keys = [time_us[rows], row_series[rows], *tie_keys(rows)]
    within = np.lexsort(keys[::-1])
    order[places] = rows[within]
    keep = np.ones(len(order), bool)
    keep[places] = _first_of_each([key[within] for key in keys[:-1]])
    return order[keep]


def _by_time_and_series(time_us: NDArray[np.int64], row_series: NDArray[np.int64]) -> Index:
    """One sort of packed keys, three times as fast as one by two keys; that one where they don't fit."""
    if len(time_us) == 0:
        return np.empty(0, np.intp)
    since = time_us - time_us.min()
    if int(row_series.max()) >> _SERIES_BITS or int(since.max()) >> (_KEY_BITS - _SERIES_BITS):
        return np.lexsort((row_series, time_us))
    return np.argsort((since << _SERIES_BITS) | row_series)


def _tied(time_us: NDArray[np.int64], row_series: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether a sorted row has a neighbour of the same time and series."""
    same = (time_us[1:] == time_us[:-1]) & (row_series[1:] == row_series[:-1])
    tied = np.zeros(len(time_us), bool)
    tied[1:] |= same
    tied[:-1] |= same
    return tied


def _first_of_each(keys: Sequence[NDArray[np.int64]]) -> NDArray[np.bool_]:
    first = np.zeros(len(keys[0]), bool)
    first[:1] = True
    for key in keys:
        first[1:] |= key[1:] != key[:-1]
    return first
