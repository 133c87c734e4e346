"""The one order of rows, whatever order they were read in, and what counts as the same row.

Rows are sorted by window, service, time and series (instance and name), then by all else they hold.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.intp]
TieKeys = Callable[[Index], Sequence[NDArray[np.int64]]]

_KEY_LIMIT = 1 << 62
_LEFT_OUT = np.iinfo(np.int64).max


class Key(NamedTuple):
    """A column to sort by.

    Attributes:
        values: of shape (rows,); from 0 to below `limit` in all rows that are kept.
        limit: so many values are possible.
    """

    values: NDArray[np.int64]
    limit: int


def ranked(texts: Iterable[str]) -> dict[str, int]:
    """The place of each different text among all of them, sorted by code point.

    >>> ranked(["b", "a", "b"])
    {'a': 0, 'b': 1}
    """
    return {text: rank for rank, text in enumerate(sorted(set(texts)))}


def canonical_order(
    keys: Sequence[Key], kept: NDArray[np.bool_], tie_keys: TieKeys, *, once: bool = True
) -> Index:
    """Indices that put the kept rows in canonical order.

    Args:
        keys: what the rows are sorted by, most significant first.
        kept: which rows count at all, shape (rows,).
        tie_keys: gives, for rows that agree in all keys, further ones of all else they hold, most significant
            first.
        once: whether rows that agree in all keys but the last are the same row, of which the one with the
            lowest last key is kept; else all are.
    """
    order, repeats = _sorted(keys, kept)
    if not repeats.any():
        return order
    tied = np.zeros(len(order), bool)
    tied[1:] |= repeats
    tied[:-1] |= repeats
    places = np.flatnonzero(tied)
    rows = order[places]
    found = [*(key.values[rows] for key in keys), *tie_keys(rows)]
    within = np.lexsort(found[::-1])
    order[places] = rows[within]
    if not once:
        return order
    keep = np.ones(len(order), bool)
    keep[places] = _first_of_each([column[within] for column in found[:-1]])
    return order[keep]


def _sorted(keys: Sequence[Key], kept: NDArray[np.bool_]) -> tuple[Index, NDArray[np.bool_]]:
    """The kept rows in order of the keys, and of each but the first whether it agrees with the one before.

    One sort of packed keys is several times as fast as one by many; that one where they don't fit.
    """
    if math.prod(key.limit for key in keys) >= _KEY_LIMIT:
        rows = np.flatnonzero(kept)
        order = rows[np.lexsort([key.values[rows] for key in reversed(keys)])]
        return order, _repeats([key.values[order] for key in keys])
    packed = keys[0].values.astype(np.int64)
    for key in keys[1:]:
        packed *= key.limit
        packed += key.values
    packed[~kept] = _LEFT_OUT
    # Senders write in order of time, and pieces that are in order are sorted soonest by merging them.
    order = np.argsort(packed, kind="stable")[: np.count_nonzero(kept)]
    return order, _repeats([packed[order]])


def _repeats(columns: Sequence[NDArray[np.int64]]) -> NDArray[np.bool_]:
    """Of each row but the first, whether it agrees with the one before."""
    same = np.ones(max(0, len(columns[0]) - 1), bool)
    for column in columns:
        same &= column[1:] == column[:-1]
    return same


def _first_of_each(keys: Sequence[NDArray[np.int64]]) -> NDArray[np.bool_]:
    first = np.ones(len(keys[0]), bool)
    first[1:] = ~_repeats(keys)
    return first
