"""Files that others read while we write them, and folders that can't be written."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from microservo.errors import Unavailable


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file in one step: a reader sees the old content or the new one, whole; makes its folder.

    Raises:
        OSError: it can't be written; the old content stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def nearest_folder(path: Path) -> Path:
    """The path itself if it is there, else the nearest folder above it that is."""
    return next(each for each in (path, *path.parents) if os.path.lexists(each))


def check_writable(path: Path) -> None:
    """Checks that the folder can be written, or made where it is not there; leaves nothing behind.

    Raises:
        OSError: it can't.
    """
    nearest = nearest_folder(path.absolute())
    with tempfile.TemporaryDirectory(dir=nearest):
        pass


@contextlib.contextmanager
def writable(place: Path, way_out: str) -> Iterator[None]:
    """Says of an OSError inside it, in one line, that the place can't be written and what the way out is.

    Raises:
        Unavailable: there was one.
    """
    try:
        yield
    except OSError as error:
        msg = f"{place} can't be written ({error.strerror or error}); {way_out}"
        raise Unavailable(msg) from error
