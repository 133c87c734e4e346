"""Ids of log lines, which have none of their own: the same when a sender repeats a body, else different.

So a retry is known from what the world repeats: sixty equal lines of one body are sixty lines.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np

from microservo.domain.telemetry import UInt64

_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX = ((np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)), (np.uint64(27), np.uint64(0x94D049BB133111EB)))


class LineIds:
    """Gives the lines of one body their ids, in the order in which they stand there.

    The id of a line is splitmix64 of the body's hash and the line's index.

    Args:
        body: unpacked, so that a retry may be packed otherwise.

    Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
    """

    def __init__(self, body: bytes) -> None:
        self._seed = np.frombuffer(blake2b(body, digest_size=8).digest(), "<u8")
        self._next = 0

    def of_next(self, count: int) -> UInt64:
        """The ids of the next lines, shape (count,); none is 0, which stands for an unknown id."""
        index = np.arange(self._next, self._next + count, dtype=np.uint64)
        self._next += count
        ids: UInt64 = self._seed + (index + np.uint64(1)) * _STEP
        for shift, factor in _MIX:
            ids = (ids ^ (ids >> shift)) * factor
        ids ^= ids >> np.uint64(31)
        return np.maximum(ids, np.uint64(1))
