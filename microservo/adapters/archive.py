"""Archives of plug-ins, unpacked so that nothing outside of one folder is touched and nothing explodes."""

from __future__ import annotations

import io
import shutil
import stat
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from microservo.errors import InvalidInput

_CHUNK_BYTES = 1 << 20
_FREE_OF_RATIO_BYTES = 1 << 16
"""Small files may compress as well as they like: a kilobyte of spaces bombs nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What an archive may hold.

    Attributes:
        files: how many files and folders.
        file_bytes: unpacked size of all of them.
        ratio: unpacked to packed size, of each file.
        depth: folders within folders.
    """

    files: int = 5000
    file_bytes: int = 256 << 20
    ratio: float = 100
    depth: int = 32


BOUNDS = Bounds()
_EARLIEST = (1980, 1, 1, 0, 0, 0)


def unpack(archive: Path, folder: Path, bounds: Bounds = BOUNDS) -> None:
    """Unpacks a zip or wheel into a folder that does not exist yet; on a refusal there is none after.

    Args:
        archive: the file.
        folder: to be made.
        bounds: what it may hold.

    Raises:
        InvalidInput: it is no zip, holds a name that leads out, a link, a device, the same name twice or
            something encrypted, is larger than the bounds, or is damaged.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            members = file.infolist()
            _check(archive, members, bounds)
            folder.mkdir(parents=True)
            try:
                for member in members:
                    _extract(archive, file, member, folder)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError) as error:
        msg = f"{archive} can't be unpacked ({error}); expected a zip or wheel, packed by deflate"
        raise InvalidInput(msg) from error


def pack(paths: Sequence[Path]) -> bytes:
    """An archive of files and folders by their names, the same for the same content.

    Caches and what begins with a dot stay behind.

    Raises:
        InvalidInput: a file is a link or a device, two of the paths have the same name, or it can't be read.
    """
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path in sorted(paths, key=lambda each: each.name):
            for file in sorted(path.rglob("*")) if path.is_dir() else (path,):
                name = Path(path.name, file.relative_to(path)) if path.is_dir() else Path(path.name)
                if not _stays_behind(name) and not file.is_dir():
                    _add(archive, file, name.as_posix())
    return content.getvalue()


def _stays_behind(name: Path) -> bool:
    return any(part.startswith(".") or part == "__pycache__" for part in name.parts)


def _add(archive: zipfile.ZipFile, file: Path, name: str) -> None:
    if file.is_symlink() or not file.is_file():
        msg = f"{file} is a link or a device; put the file itself there"
        raise InvalidInput(msg)
    if name in archive.namelist():
        msg = f"two files are called {name}; give one of them another name"
        raise InvalidInput(msg)
    member = zipfile.ZipInfo(name, date_time=_EARLIEST)
    member.external_attr = 0o644 << 16
    member.compress_type = zipfile.ZIP_DEFLATED
    try:
        archive.writestr(member, file.read_bytes())
    except OSError as error:
        msg = f"{file} can't be read ({error.strerror}); only what can be read can be deployed"
        raise InvalidInput(msg) from error


def _check(archive: Path, members: Sequence[zipfile.ZipInfo], bounds: Bounds) -> None:
    if len(members) > bounds.files:
        raise _refusal(archive, f"has {len(members)} files; expected at most {bounds.files}")
    size = sum(member.file_size for member in members)
    if size > bounds.file_bytes:
        raise _refusal(archive, f"unpacks to {size} bytes; expected at most {bounds.file_bytes}")
    seen: set[str] = set()
    for member in members:
        problem = _problem(member, bounds)
        # Two names that differ in case are one file on some machines.
        name = member.filename.rstrip("/").casefold()
        if not problem and name in seen:
            problem = "is there twice"
        if problem:
            raise _refusal(archive, f"holds {member.filename!r}, which {problem}")
        seen.add(name)


def _problem(member: zipfile.ZipInfo, bounds: Bounds) -> str:
    """What is wrong with a member; "" where nothing is."""
    path = PurePosixPath(member.filename)
    kind = stat.S_IFMT(member.external_attr >> 16)
    problems = {
        "leads out of its folder": path.is_absolute() or ".." in path.parts or not path.parts,
        "has a name that other systems read otherwise": any(mark in member.orig_filename for mark in "\\:\0"),
        f"lies deeper than {bounds.depth} folders": len(path.parts) > bounds.depth,
        "is a link or a device; put the file itself there": kind not in (0, stat.S_IFREG, stat.S_IFDIR),
        "is encrypted": member.flag_bits & 1,
        f"unpacks to more than {bounds.ratio:g} times its size": member.file_size
        > max(_FREE_OF_RATIO_BYTES, bounds.ratio * member.compress_size),
    }
    return next((problem for problem, is_so in problems.items() if is_so), "")


def _extract(archive: Path, file: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> None:
    place = folder.joinpath(*PurePosixPath(member.filename).parts)
    if member.is_dir():
        place.mkdir(parents=True, exist_ok=True)
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    left = member.file_size
    # What it says of its size may be a lie: what is written is counted.
    with file.open(member) as source, place.open("xb") as out:
        while chunk := source.read(_CHUNK_BYTES):
            left -= len(chunk)
            if left < 0:
                raise _refusal(archive, f"holds {member.filename!r}, which is larger than it says")
            out.write(chunk)


def _refusal(archive: Path, problem: str) -> InvalidInput:
    return InvalidInput(f"{archive} {problem}; nothing was unpacked")
