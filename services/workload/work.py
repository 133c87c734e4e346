"""The work that a request is: processor time, memory, an answer."""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import time
from collections.abc import Iterator, Mapping, Sequence

# Below 2048 bytes hashlib keeps the interpreter lock, as a service's own Python code would.
_BLOCK = bytes(1024)
_PATTERN_BYTES = 1 << 16
_STEP_BYTES = 1 << 20
# As `render` begins them.
_RECORD = b'{"endpoint": "'


def burn(cpu_s: float) -> None:
    """Keeps this thread's processor busy until it has spent `cpu_s` seconds of processor time."""
    end_s = time.thread_time() + cpu_s
    while time.thread_time() < end_s:
        hashlib.sha256(_BLOCK)


def compute(length_s: float) -> None:
    """Computes for `length_s` seconds of the clock, however much of a processor that gets."""
    end_s = time.monotonic() + length_s
    while time.monotonic() < end_s:
        hashlib.sha256(_BLOCK)


class Ballast:
    """Memory really held: every page is written, and all of it is given back on `release`.

    Args:
        size_bytes: of it; held once `fill` is through.
    """

    def __init__(self, size_bytes: int) -> None:
        self._size_bytes = size_bytes
        self._map = mmap.mmap(-1, max(1, size_bytes))

    def fill(self) -> Iterator[None]:
        """Writes the pages, and lets go in between after each mebibyte."""
        # Random bytes, so that neither page merging nor compression takes the pages away again. Few at once:
        # a large buffer would stay in the process's heap when the ballast is gone.
        pattern = os.urandom(_PATTERN_BYTES)
        for start in range(0, self._size_bytes, _PATTERN_BYTES):
            length = min(_PATTERN_BYTES, self._size_bytes - start)
            self._map[start : start + length] = pattern[:length]
            if start % _STEP_BYTES == 0:
                yield

    def release(self) -> None:
        self._map.close()


def record_of(endpoint: str, key: str, size_bytes: int) -> dict[str, str]:
    """The record that an endpoint answers with; `size_bytes` of payload."""
    return {"endpoint": endpoint, "key": key, "payload": "x" * size_bytes}


def render(record: Mapping[str, str], attached: Sequence[bytes] = ()) -> bytes:
    """The answer to a request, as JSON; what is attached is JSON already."""
    head = {"endpoint": record["endpoint"], "key": record["key"]}
    body = json.dumps({**head, "payload": record["payload"]}).encode()
    return b'%s, "attached": [%s]}' % (body[:-1], b",".join(attached)) if attached else body


def is_record_of(body: bytes, endpoint: str) -> bool:
    """Whether an answer is a record of this endpoint, or none of any (refusals have no record).

    All of it is read, as by who needs what it says.

    Example:
        >>> is_record_of(render(record_of("GetCart", "user-1", 3)), "GetCart")
        True
    """
    if not body.startswith(_RECORD):
        return True
    try:
        return bool(json.loads(body)["endpoint"] == endpoint)
    except ValueError:
        return False
