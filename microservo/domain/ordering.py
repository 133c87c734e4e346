"""Order of rows by columns of integers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_WORD_BITS = 64
_WORD_MASK = (1 << _WORD_BITS) - 1


def order_by(*columns: NDArray[Any]) -> NDArray[np.intp]:
    """The stable order by the last column, rows that share it by the one before, and so on.

    The same as `numpy.lexsort`, which takes five times as long from some thousand rows on.

    Args:
        columns: integers of at least 16 bits, each of shape (rows,).
    """
    rows = len(columns[0])
    if rows <= 1:
        return np.arange(rows)
    lows = [int(np.minimum.reduce(column)) for column in columns]
    widths = [
        (int(np.maximum.reduce(column)) - low).bit_length() for column, low in zip(columns, lows, strict=True)
    ]
    if sum(widths) + rows.bit_length() > _WORD_BITS:
        return np.lexsort([piece for column in columns for piece in _pieces(column)])
    return _order_in_words(columns, lows, widths)


def _order_in_words(
    columns: Sequence[NDArray[Any]], lows: Sequence[int], widths: Sequence[int]
) -> NDArray[np.intp]:
    """The order where all of a row fits into one number: the columns, and its place as the lowest bits.

    No two are the same then, so they can be sorted in the fastest way there is, which is not stable.
    """
    rows = len(columns[0])
    words = np.zeros(rows, np.uint64)
    for column, low, width in zip(reversed(columns), reversed(lows), reversed(widths), strict=True):
        if width:
            words <<= np.uint64(width)
            # Taken modulo 2**64, what lies above the lowest is right for numbers with and without a sign.
            words |= column.astype(np.uint64) - np.uint64(low & _WORD_MASK)
    bits = rows.bit_length()
    words <<= np.uint64(bits)
    words |= np.arange(rows, dtype=np.uint64)
    words.sort()
    words &= np.uint64((1 << bits) - 1)
    return words.astype(np.intp)


def _pieces(column: NDArray[Any]) -> NDArray[np.uint16]:
    """The 16-bit pieces of each number, the lowest first, which are sorted by radix; shape (pieces, rows)."""
    # With the sign bit turned over, negative numbers come before the others.
    turned = column ^ np.iinfo(column.dtype).min
    little = turned.astype(column.dtype.newbyteorder("<"), copy=False)
    pieces: NDArray[np.uint16] = little.view("<u2").reshape(len(column), -1).T
    return pieces
