"""A dataset in one file: the same dataset, the same bytes."""

from __future__ import annotations

import io
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import zstandard

from microservo.datasets.contents import contents_of
from microservo.datasets.draft import writing
from microservo.errors import InvalidInput

_EARLIEST = (1980, 1, 1, 0, 0, 0)
"""What ZIP can say of a time."""
_MODE = 0o644


def write_archive(folder: Path, out: Path, progress: Callable[[float, float], None]) -> None:
    """Writes all files of a dataset into one, which is there whole or not at all.

    Args:
        folder: the dataset.
        out: ends in .tar.zst or .zip; what is there is replaced.
        progress: called as (files, files in all).

    Raises:
        InvalidInput: the folder holds no dataset or a damaged one, or `out` has another ending.
        Unavailable: it can't be written.
    """
    endings = {".tar.zst": _tar, ".zip": _zip}
    write = next((each for ending, each in endings.items() if out.name.endswith(ending)), None)
    if write is None or out.is_dir():
        msg = f"{out} is no name of an archive; let it end in .tar.zst or .zip"
        raise InvalidInput(msg)
    contents = contents_of(folder)
    if problems := contents.problems():
        msg = f"{folder} is damaged: {problems[0]}; rebuild the dataset from the log"
        raise InvalidInput(msg)
    paths = contents.paths()

    def files() -> Iterator[tuple[str, Path]]:
        for done, path in enumerate(paths):
            progress(done, len(paths))
            yield f"{folder.resolve().name}/{path.relative_to(folder).as_posix()}", path

    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            dir=out.parent, prefix=f".{out.name}.partial-", delete=False
        ) as file:
            try:
                write(file, files())
                file.flush()
                Path(file.name).chmod(_MODE)
                Path(file.name).replace(out)
            finally:
                Path(file.name).unlink(missing_ok=True)
    progress(len(paths), len(paths))


def _tar(file: IO[bytes], files: Iterator[tuple[str, Path]]) -> None:
    # What is in a dataset is compressed already.
    compressor = zstandard.ZstdCompressor(level=1)
    with (
        compressor.stream_writer(file, closefd=False) as stream,
        tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name, path in files:
            info = tarfile.TarInfo(name)
            info.size, info.mode = path.stat().st_size, _MODE
            with path.open("rb") as content:
                tar.addfile(info, content)


def _zip(file: IO[bytes], files: Iterator[tuple[str, Path]]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, path in files:
            info = zipfile.ZipInfo(name, _EARLIEST)
            info.create_system, info.external_attr = 3, _MODE << 16
            info.file_size = path.stat().st_size
            with path.open("rb") as content, archive.open(info, "w") as out:
                shutil.copyfileobj(content, out, io.DEFAULT_BUFFER_SIZE * 16)
