"""The garbage of an instance: memory that requests leave behind until it is collected."""

from __future__ import annotations

import mmap
import os

from microservo.domain.topology import Heap
from services.workload.work import burn

_PATTERN_BYTES = 1 << 16


class GarbageHeap:
    """Grows with each request and is given back to the system at once, as a collector does.

    Attributes:
        collections: how often that was so far.
    """

    def __init__(self, heap: Heap) -> None:
        self.collections = 0
        self._garbage_bytes = int(heap.garbage_kb * 2**10)
        self._full_bytes = self._size_bytes = int(heap.collect_mb * 2**20)
        self._limits: dict[str, int] = {}
        self._collect_s = heap.collect_ms / 1000
        self._pattern = os.urandom(_PATTERN_BYTES)
        self._used_bytes = 0
        # Pages are taken when they are written.
        self._map = mmap.mmap(-1, self._size_bytes)

    def leave_garbage(self) -> None:
        """Leaves the garbage of one request behind; where there is no room, that before is collected."""
        left = min(self._garbage_bytes, self._size_bytes)
        if self._used_bytes + left > self._size_bytes:
            self._collect()
        while left:
            length = min(left, _PATTERN_BYTES)
            self._map[self._used_bytes : self._used_bytes + length] = self._pattern[:length]
            self._used_bytes += length
            left -= length

    def limit(self, name: str, size_bytes: int) -> None:
        """Collects at so many bytes already, and does so now; of several limits the least holds."""
        self._limits[name] = size_bytes
        self._collect()

    def lift(self, name: str) -> None:
        """Takes a limit away."""
        self._limits.pop(name, None)
        self._collect()

    @property
    def size_bytes(self) -> int:
        """At how many bytes it is collected."""
        return self._size_bytes

    def close(self) -> None:
        self._map.close()

    def _collect(self) -> None:
        self.collections += 1
        self._size_bytes = min(self._full_bytes, *self._limits.values(), self._full_bytes)
        self._map.close()
        self._map = mmap.mmap(-1, self._size_bytes)
        self._used_bytes = 0
        burn(self._collect_s)
