"""A recording in an archive, as such sets are handed out: unpacked beside, within bounds."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

from microservo.adapters.archive import Bounds, unpack
from microservo.datasets.draft import writing
from microservo.errors import InvalidInput

BOUNDS = Bounds(files=200_000, file_bytes=64 << 30, ratio=200, depth=32)
"""Text of telemetry is packed to a twentieth or so; zeros to a thousandth."""
_FREE_OF_RATIO_BYTES = 1 << 20


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
        with writing(folder):
            if tarfile.is_tarfile(archive):
                _untar(archive, folder, bounds)
            else:
                unpack(archive, folder, bounds)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def _untar(archive: Path, folder: Path, bounds: Bounds) -> None:
    most = min(bounds.file_bytes, max(_FREE_OF_RATIO_BYTES, round(bounds.ratio * archive.stat().st_size)))
    size = 0
    try:
        with tarfile.open(archive) as tar:
            for number, member in enumerate(tar, start=1):
                size += member.size
                if number > bounds.files or size > most:
                    msg = (
                        f"{archive}, member {number} {member.name[:200]!r}: more than {bounds.files} files or"
                        f" {most} bytes; unpack it yourself if it is what you expect, and name the folder"
                    )
                    raise InvalidInput(msg)
                tar.extract(member, folder, filter="data")
    except tarfile.FilterError as error:
        msg = f"{archive}: {str(error)[:300]}; nothing was unpacked"
        raise InvalidInput(msg) from error
    except (tarfile.TarError, EOFError) as error:
        msg = f"{archive} can't be unpacked ({str(error)[:200]}); is it complete?"
        raise InvalidInput(msg) from error
