"""Ids of log lines, which have none of their own: the same when a sender repeats a body, else different.

So a retry is known from what the world repeats: sixty equal lines of one body are sixty lines.
"""

from __future__ import annotations

from functools import cached_property
from hashlib import blake2b

import numpy as np

from microservo.domain.mixing import GOLDEN, mixed
from microservo.domain.telemetry import UInt64


class LineIds:
    """Makes the ids of the lines of one body, in the order in which they stand there.

    The id of a line is splitmix64 of the body's hash and the line's index.

    Args:
        body: unpacked, so that a retry may be packed otherwise.
    """

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._next = 0

    def of_next(self, count: int) -> UInt64:
        """The ids of the next lines, shape (count,); none is 0, which stands for an unknown id."""
        index = np.arange(self._next, self._next + count, dtype=np.uint64)
        self._next += count
        ids = mixed(self._seed + (index + np.uint64(1)) * GOLDEN)
        return np.maximum(ids, np.uint64(1))

    @cached_property
    def _seed(self) -> UInt64:
        # Only asked for where there are lines: most bodies hold none, and reading all of one takes time.
        return np.frombuffer(blake2b(self._body, digest_size=8).digest(), "<u8")
