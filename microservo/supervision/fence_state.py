"""Copies the state folder of a fence out, whatever its owner has put there."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from microservo.errors import InvalidInput

_MAX_DEPTH = 32
_CHUNK_BYTES = 1 << 20
_NO_SURPRISES = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Links are not followed, and a FIFO that took a file's place does not block."""


def copy_out(folder: int, target: Path, *, max_bytes: int, max_files: int) -> tuple[str, ...]:
    """Copies regular files and folders; never follows a link, whatever is exchanged meanwhile.

    Args:
        folder: open folder to copy.
        target: made by this; on an error nothing is left of it.
        max_bytes: of all files, as they read: a file with holes counts whole.
        max_files: files and folders.

    Returns:
        What was left out: links, devices, sockets, FIFOs, and what can't be read.

    Raises:
        InvalidInput: `target` exists, or there is more than may be copied.
        OSError: `target` can't be written.
    """
    if target.exists():
        message = f"{target} exists; give a folder that doesn't"
        raise InvalidInput(message)
    copier = _Copier(max_bytes, max_files)
    try:
        copier.copy(folder, target, "", _MAX_DEPTH)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    return tuple(copier.left_out)


class _Copier:
    def __init__(self, max_bytes: int, max_files: int) -> None:
        self._max_bytes = max_bytes
        self._max_files = max_files
        self._bytes = 0
        self._files = 0
        self.left_out: list[str] = []

    def copy(self, folder: int, target: Path, place: str, depth: int) -> None:
        target.mkdir()
        # The next process reads it as another user, whatever this one's umask is.
        target.chmod(0o755)
        for name in sorted(os.listdir(folder)):
            self._count(place + name)
            self._copy_one(folder, name, target / name, place, depth)

    def _copy_one(self, folder: int, name: str, target: Path, place: str, depth: int) -> None:
        try:
            file = os.open(name, _NO_SURPRISES, dir_fd=folder)
        except OSError:
            self.left_out.append(place + name)
            return
        try:
            mode = os.fstat(file).st_mode
            if stat.S_ISDIR(mode) and depth > 0:
                self.copy(file, target, f"{place}{name}/", depth - 1)
            elif stat.S_ISREG(mode):
                self._copy_file(file, target, place + name)
            else:
                self.left_out.append(place + name)
        finally:
            os.close(file)

    def _copy_file(self, file: int, target: Path, place: str) -> None:
        with target.open("xb") as copy:
            while chunk := os.read(file, _CHUNK_BYTES):
                self._bytes += len(chunk)
                if self._bytes > self._max_bytes:
                    message = (
                        f"the state is larger than {self._max_bytes} bytes at {place!r};"
                        " keep less, or allow more"
                    )
                    raise InvalidInput(message)
                copy.write(chunk)
        target.chmod(0o644)

    def _count(self, place: str) -> None:
        self._files += 1
        if self._files > self._max_files:
            message = (
                f"the state has more than {self._max_files} files at {place!r}; keep fewer, or allow more"
            )
            raise InvalidInput(message)
