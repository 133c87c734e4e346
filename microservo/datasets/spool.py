"""Values that wait on disk for others of their time, so that any number can be sorted in little memory."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

_BUCKET_US = 600_000_000
_MOST_HELD_BYTES = 1 << 20
_LENGTH = struct.Struct("<I")


class Spool:
    """Bytes by instant; returned in groups, of which each is later than the one before.

    Args:
        folder: holds a file for every ten minutes that something belongs to; must be there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[int, bytearray] = {}
        self._held_bytes = 0

    @property
    def held_bytes(self) -> int:
        """How much is in memory."""
        return self._held_bytes

    def add(self, time_us: int, value: bytes) -> None:
        """Adds a value of an instant in microseconds."""
        held = self._held.setdefault(time_us // _BUCKET_US, bytearray())
        held += _LENGTH.pack(len(value))
        held += value
        self._held_bytes += _LENGTH.size + len(value)
        if self._held_bytes >= _MOST_HELD_BYTES:
            self._spill()

    def __iter__(self) -> Iterator[list[bytes]]:
        """The values of ten minutes each, in the order they came; then of the next in which there are any."""
        self._spill()
        for number in sorted(int(path.name) for path in self._folder.iterdir()):
            yield list(_values((self._folder / str(number)).read_bytes()))

    def _spill(self) -> None:
        for number, held in self._held.items():
            with (self._folder / str(number)).open("ab") as file:
                file.write(held)
        self._held.clear()
        self._held_bytes = 0


def _values(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size + length
        yield data[at - length : at]
