"""A dataset while it is built: beside its place until all is written, so it is there whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from microservo.adapters.files import check_writable
from microservo.errors import InvalidInput, Unavailable


@contextmanager
def draft(out_dir: Path) -> Iterator[tuple[Path, Path]]:
    """A new folder that becomes `out_dir` if all goes well and goes away if not; one in it goes anyway.

    Raises:
        InvalidInput: `out_dir` is a file or holds something, or no folder can be made beside it.
        Unavailable: there is no room, or the place can't be written to any more.
    """
    _refuse_taken(out_dir)
    try:
        out_dir.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{out_dir.name}.partial-", dir=out_dir.parent))
    except OSError as error:
        msg = f"can't make {out_dir}: {_reason(error)}; give a folder that can be written to"
        raise InvalidInput(msg) from error
    try:
        with writing(out_dir):
            scratch = folder / "scratch"
            scratch.mkdir()
        yield folder, scratch
        shutil.rmtree(scratch)
        with writing(out_dir):
            folder.chmod(0o755)
            folder.replace(out_dir)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def refuse_unusable(out_dir: Path) -> None:
    """Refuses what `draft` would refuse, leaving nothing behind: to be asked before long work begins.

    Raises:
        InvalidInput: `out_dir` is a file or holds something, or no folder can be made there.
    """
    _refuse_taken(out_dir)
    try:
        check_writable(out_dir)
    except OSError as error:
        msg = f"can't make {out_dir}: {_reason(error)}; give a folder that can be written to"
        raise InvalidInput(msg) from error


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Says what keeps files from being written at a place.

    Raises:
        Unavailable: in place of an `OSError`.
    """
    try:
        yield
    except OSError as error:
        msg = (
            f"can't write to {place}: {_reason(error)}; make room there or give another place, and try again"
        )
        raise Unavailable(msg) from error


def _refuse_taken(out_dir: Path) -> None:
    try:
        if out_dir.is_dir() and any(out_dir.iterdir()):
            msg = f"{out_dir} is not empty; give a new folder or remove it"
            raise InvalidInput(msg)
        if out_dir.exists() and not out_dir.is_dir():
            msg = f"{out_dir} is a file; give a new folder"
            raise InvalidInput(msg)
    except OSError as error:
        msg = f"can't look into {out_dir}: {_reason(error)}; give another folder"
        raise InvalidInput(msg) from error


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
