"""The log of a fenced process: the newest of what it writes to stderr, and whether that is too much."""

from __future__ import annotations

import os
from pathlib import Path


class BoundedLog:
    """Appends to `path` and moves it to `<path>.1` when it is full, so both hold at most `quota_bytes`.

    Counts as a bucket that holds `quota_bytes` and drains at `bytes_per_s`.

    Raises:
        OSError: the file can't be written.
    """

    def __init__(self, path: Path, *, quota_bytes: int, bytes_per_s: float) -> None:
        self._path = path
        self._quota_bytes = quota_bytes
        self._bytes_per_s = bytes_per_s
        self._filled_bytes = 0.0
        self._drained_s: float | None = None
        self.total_bytes = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)

    def write(self, data: bytes, now_s: float) -> bool:
        """Keeps it; False where the process has written more than it may by `now_s` (monotonic)."""
        if self._drained_s is not None:
            self._filled_bytes = max(0.0, self._filled_bytes - (now_s - self._drained_s) * self._bytes_per_s)
        self._drained_s = now_s
        self._filled_bytes += len(data)
        self.total_bytes += len(data)
        half = self._quota_bytes // 2
        data = data[-half:]
        if os.fstat(self._file.fileno()).st_size + len(data) > half:
            self._rotate()
        self._file.write(data)
        return self._filled_bytes <= self._quota_bytes

    def close(self) -> None:
        self._file.close()

    def _rotate(self) -> None:
        self._file.close()
        self._path.replace(self._path.with_name(f"{self._path.name}.1"))
        self._file = self._path.open("ab", buffering=0)
