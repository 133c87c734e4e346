"""Rows that belong together, and what is computed of each such group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from microservo.domain.ordering import order_by
from microservo.domain.window_rows import Windows

KIND_SHIFT = 32
GROUP_MASK = (1 << KIND_SHIFT) - 1
"""Groups may have a key of two parts: a kind in the upper bits, and a number in those of the mask."""


class Groups(NamedTuple):
    """Numbers of groups of rows, ordered by window.

    Attributes:
        windows: window of each group.
        keys: what each group is of.
        numbers: shape (statistics, groups).
    """

    windows: Windows
    keys: NDArray[Any]
    numbers: NDArray[Any]


def counts_of(window: Windows, key: NDArray[Any]) -> Groups:
    """How often each key is there."""
    order = order_by(key, window)
    window, key = window[order], key[order]
    starts = group_starts(window, key)
    return Groups(window[starts], key[starts], lengths(starts, len(key))[np.newaxis])


def merged(parts: Sequence[Groups]) -> Groups:
    """All groups by window, with as many numbers as the largest has."""
    if len(parts) == 1:
        return parts[0]
    windows = np.concatenate([part.windows for part in parts])
    order = np.argsort(windows, kind="stable")
    height = max(len(part.numbers) for part in parts)
    padded = [np.pad(part.numbers, ((0, height - len(part.numbers)), (0, 0))) for part in parts]
    keys = np.concatenate([part.keys for part in parts])
    return Groups(windows[order], keys[order], np.concatenate(padded, axis=1)[:, order])


def group_starts(*columns: NDArray[Any]) -> NDArray[np.intp]:
    """Positions at which one of some sorted columns takes a new value, the first included."""
    changes = np.zeros(len(columns[0]), np.bool_)
    changes[0] = True
    for column in columns:
        changes[1:] |= column[1:] != column[:-1]
    return changes.nonzero()[0]


def lengths(starts: NDArray[np.intp], end: int) -> NDArray[np.intp]:
    """How long the groups are that begin at `starts` and fill up to `end`."""
    lengths = np.empty_like(starts)
    np.subtract(starts[1:], starts[:-1], out=lengths[:-1])
    lengths[-1] = end - starts[-1]
    return lengths
