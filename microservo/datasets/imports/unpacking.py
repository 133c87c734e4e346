"""A recording in an archive, as such sets are handed out: unpacked beside, within bounds."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shutil
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, cast

from microservo.adapters.archive import Bounds, unpack
from microservo.datasets.draft import writing
from microservo.errors import InvalidInput

BOUNDS = Bounds(files=200_000, file_bytes=64 << 30, ratio=200, depth=32)
"""Text of telemetry is packed to a twentieth or so; zeros to a thousandth."""
_FREE_OF_RATIO_BYTES = 1 << 20
_LARGEST_READ = 1 << 20
"""Bytes of a header of a tar, which is held in memory whole; data is read in small pieces."""
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_OPENERS: dict[bytes, Callable[[Path], IO[bytes]]] = {
    b"\x1f\x8b": cast("Callable[[Path], IO[bytes]]", gzip.open),
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": cast("Callable[[Path], IO[bytes]]", lzma.open),
}


def unpacked(archive: Path, folder: Path, bounds: Bounds = BOUNDS) -> Path:
    """The folder into which an archive was unpacked; on a refusal there is none.

    Args:
        archive: a zip, or a tar that is packed by gzip, bzip2 or xz, or not at all.
        folder: to be made.
        bounds: what it may hold.

    Raises:
        InvalidInput: it is neither, holds what leads out of it, a device or more than the bounds, or is
            damaged.
        Unavailable: there is no room for what it holds.
    """
    shutil.rmtree(folder, ignore_errors=True)
    try:
        with archive.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        msg = f"{archive} can't be read: {error.strerror}"
        raise InvalidInput(msg) from error
    try:
        with writing(folder):
            if head.startswith(_ZIP):
                unpack(archive, folder, bounds)
            else:
                _untar(archive, head, folder, bounds)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


class _Stream:
    """What an archive unpacks to, as tarfile reads it: never much of it at once, whatever a header says."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        """Raises `tarfile.ReadError` where it is damaged, or too much is asked for."""
        if not 0 <= size <= _LARGEST_READ:
            msg = f"a header of {size} bytes"
            raise tarfile.ReadError(msg)
        return cast("bytes", self._whole(self._file.read, size))

    def seek(self, to: int) -> int:
        """Likewise."""
        return cast("int", self._whole(self._file.seek, to))

    def tell(self) -> int:
        """Where it is."""
        return self._file.tell()

    @staticmethod
    def _whole(act: Callable[[int], object], number: int) -> object:
        try:
            return act(number)
        except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            raise tarfile.ReadError(str(error)[:200]) from error


def _untar(archive: Path, head: bytes, folder: Path, bounds: Bounds) -> None:
    opener = next((found for magic, found in _OPENERS.items() if head.startswith(magic)), io.FileIO)
    most = min(bounds.file_bytes, max(_FREE_OF_RATIO_BYTES, round(bounds.ratio * archive.stat().st_size)))
    size = number = 0
    try:
        with (
            opener(archive) as file,
            tarfile.open(fileobj=cast("IO[bytes]", _Stream(file)), mode="r:") as tar,
        ):
            folder.mkdir(parents=True)
            for number, member in enumerate(tar, start=1):
                size += member.size
                if number > bounds.files or size > most:
                    msg = (
                        f"{archive}, member {number} {member.name[:200]!r}: more than {bounds.files} files or"
                        f" {most} bytes; unpack it yourself if it is what you expect, and name the folder"
                    )
                    raise InvalidInput(msg)
                tar.extract(member, folder, filter="data")
            _refuse_without_end(tar)
    except tarfile.FilterError as error:
        msg = f"{archive}: {str(error)[:300]}; nothing was unpacked"
        raise InvalidInput(msg) from error
    except tarfile.TarError as error:
        if not number:
            msg = f"{archive} is no zip and no tar ({str(error)[:200]}); of a single file name the folder"
            raise InvalidInput(msg) from error
        msg = f"{archive}, behind member {number}: it can't be unpacked ({str(error)[:200]}); is it complete?"
        raise InvalidInput(msg) from error


def _refuse_without_end(tar: tarfile.TarFile) -> None:
    """Refuses one that was cut between two members, or whose next header is damaged: tarfile ends there.

    Reading to the end has the packing checked, too.
    """
    assert tar.fileobj is not None
    tar.fileobj.seek(tar.offset)
    rest = tar.fileobj.read(_LARGEST_READ)
    if not rest.startswith(bytes(tarfile.BLOCKSIZE)) or tar.fileobj.read(1):
        msg = "its end is missing"
        raise tarfile.ReadError(msg)
