"""Which rows a sender's retry repeats.

The world repeats itself: a service may log the same line sixty times a second. So rows that look alike are
not one; rows of one identity are. That of a log line is its id, the same where a sender sends its request
again; that of a span are its ids and its kind. A point of a metric has no id: the same instance, name,
instant and value are one point.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.intp]
Keys = Callable[[Rows], Sequence[NDArray[Any]]]

_ODD = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))


def repeats(hint: NDArray[np.uint64], *, identity: Keys, choice: Keys) -> Rows:
    """The rows to be left out, so that one of each identity stays.

    Args:
        hint: equal for rows of one identity and seldom for others, shape (rows,); 0 for rows that have none
            and repeat nothing.
        identity: gives, for some rows, the columns that are equal where their identity is.
        choice: gives, for some rows, columns by which the lowest of one identity stays, the most significant
            first. They must not depend on the order in which rows came.
    """
    in_order = np.sort(hint)
    same = equals_before(in_order)
    same &= in_order[1:] != 0
    if not np.logical_or.reduce(same):
        return np.empty(0, np.intp)
    order = np.argsort(hint)
    same = equals_before(hint[order])
    same &= hint[order[1:]] != 0
    suspects = order[in_runs(same)]
    keys = [*identity(suspects), *choice(suspects)]
    within = np.lexsort(keys[::-1])
    repeated = np.logical_and.reduce([equals_before(key[within]) for key in identity(suspects)])
    left_out: Rows = suspects[within[1:][repeated]]
    return left_out


def span_hint(trace_id: NDArray[Any], span_id: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The hint of spans by their ids; `trace_id` of dtype V16."""
    first, second = trace_words(trace_id)
    hint: NDArray[np.uint64] = (first * _ODD[0]) ^ (second * _ODD[1]) ^ span_id
    return hint


def trace_words(trace_id: NDArray[Any]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """The two halves of trace ids, as numbers."""
    words = trace_id.view("<u8").reshape(-1, 2)
    return words[:, 0], words[:, 1]


def equals_before(column: NDArray[Any]) -> NDArray[np.bool_]:
    """Of each row but the first, whether it equals the one before; NaN equals nothing."""
    same: NDArray[np.bool_] = column[1:] == column[:-1]
    return same


def in_runs(same: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Of each row, whether it equals the one before or the one after."""
    runs: NDArray[np.bool_] = np.append(same, False) | np.append(False, same)
    return runs
