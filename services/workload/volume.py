"""The disk of an instance: a folder of its own, bounded in size as a container's volume is.

Nothing of it outlives the instance: it is emptied at the start and removed at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from microservo.errors import InvalidInput

MOUNT = "/data"
"""What the instance calls the folder, wherever it really lies."""
QUOTA_BYTES = 8 * 2**20
_SUFFIXES = frozenset({".log", ".new", ".tmp"})


class Volume:
    """The files of an instance, by name; what it reads and writes is held to its quota.

    Args:
        folder: its own; what an instance before has left there is removed.
        quota_bytes: of all files together.

    Raises:
        InvalidInput: the folder holds what no instance has left.

    Attributes:
        latencies: by name of what slows the device down, asked for each transfer: given the path of a file
            below `MOUNT`, seconds that the transfer waits.
        errors: likewise the number of the error that it ends with; 0 for none.
    """

    def __init__(self, folder: Path, *, quota_bytes: int = QUOTA_BYTES) -> None:
        self._folder = folder
        self._quota_bytes = quota_bytes
        self._sizes: dict[str, int] = {}
        self.latencies: dict[str, Callable[[str], float]] = {}
        self.errors: dict[str, Callable[[str], int]] = {}
        _check(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._clear()

    @property
    def free_bytes(self) -> int:
        """What still fits."""
        return self._quota_bytes - sum(self._sizes.values())

    def used_share(self) -> float:
        """Of the quota, 0 to 1."""
        return sum(self._sizes.values()) / self._quota_bytes

    async def read(self, name: str, offset: int, length: int) -> bytes:
        """Bytes of a file.

        Raises:
            OSError: as the device or the file system says.
        """
        await self._transfer(name)
        with self._open(name, "rb") as file:
            file.seek(offset)
            return file.read(length)

    async def append(self, name: str, data: bytes) -> int:
        """Writes to the end of a file, made where there is none; gives the offset. Raises as `read`."""
        await self._transfer(name)
        with self._open(name, "ab") as file:
            offset = file.tell()
            self._write(name, file, data)
        self._sizes[name] = offset + len(data)
        return offset

    async def replace(self, name: str, data: bytes) -> None:
        """Writes a file anew, beside the old one until it is whole. Raises as `read`."""
        await self._transfer(name)
        draft = f"{name}.new"
        try:
            with self._open(draft, "wb") as file:
                self._write(draft, file, data)
        except OSError:
            self.remove(draft)
            raise
        (self._folder / draft).replace(self._folder / name)
        self._sizes[name] = len(data)

    def fill(self, name: str, size_bytes: int) -> None:
        """Writes a file of zeros at once, its blocks really taken. Raises as `read`, without leaving it."""
        try:
            with self._open(name, "wb") as file:
                self._write(name, file, bytes(size_bytes))
        except OSError:
            self.remove(name)
            raise
        self._sizes[name] = size_bytes

    def remove(self, name: str) -> None:
        """Removes a file, if there is one."""
        (self._folder / name).unlink(missing_ok=True)
        self._sizes.pop(name, None)

    def close(self) -> None:
        """Removes all of it."""
        self._clear()
        # Somebody else may have put something there since.
        with contextlib.suppress(OSError):
            self._folder.rmdir()

    def _clear(self) -> None:
        for each in self._folder.iterdir():
            each.unlink()

    async def _transfer(self, name: str) -> None:
        path = f"{MOUNT}/{name}"
        wait_s = sum(seconds(path) for seconds in self.latencies.values())
        if wait_s:
            await asyncio.sleep(wait_s)
        for number in [error(path) for error in self.errors.values()]:
            if number:
                raise OSError(number, os.strerror(number), path)

    @contextlib.contextmanager
    def _open(self, name: str, mode: str) -> Iterator[IO[bytes]]:
        # Opened anew each time, so that what was replaced meanwhile is not written to.
        try:
            with open(self._folder / name, mode, buffering=0) as file:
                yield file
        except OSError as error:
            # Under the name that the instance knows, as inside a container.
            raise OSError(error.errno, os.strerror(error.errno or 0), f"{MOUNT}/{name}") from None

    def _write(self, name: str, file: IO[bytes], data: bytes) -> None:
        if len(data) > self.free_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), f"{MOUNT}/{name}")
        file.write(data)


def _check(folder: Path) -> None:
    """Refuses a folder in which there is something to lose."""
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    for each in found:
        if each.suffix not in _SUFFIXES or not each.is_file():
            msg = f"{each} is not of an instance, whose folder is emptied; give --data a folder of its own"
            raise InvalidInput(msg)
