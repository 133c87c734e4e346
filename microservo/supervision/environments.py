"""Python environments for fenced programs: built once for what they require, kept, and the oldest removed.

::

    <root>/<sha256>/                   a virtual environment; complete once environment.json is in it
    <root>/<sha256>.lock               exclusive: who builds or removes it; shared: who uses it

It is built in its place, since the paths in it say where that is; a build that was killed has no
`environment.json`, and the next one begins anew. The kernel lets go of a lock whose holder is killed.

Nothing of an installed package runs here: wheels are only unpacked, and the interpreter of an environment is
not started again once something was installed into it (a `.pth` file would run), but inside a fence.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from packaging.requirements import InvalidRequirement, Requirement

from microservo.errors import InvalidInput, Unavailable
from microservo.supervision.environment_build import BasePython, build, find_python

_FORMAT = 1
"""Of what is built: another one makes other environments."""

_LOCK_INTERVAL_S = 0.1
_MARK = "environment.json"


@dataclass(slots=True, eq=False)
class Environment:
    """An environment that stays as long as this is open.

    Args:
        python: its interpreter.
        folders: what a fence must show, so that the interpreter runs in it (`Fence.start`).
        sha256: of what it was built for.
        size_bytes: on disk.
    """

    python: Path
    folders: tuple[Path, ...]
    sha256: str
    size_bytes: int
    _lock: int

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """It may be removed from now on; may be repeated."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


class EnvironmentCache:
    """The environments below a folder; several processes may share it.

    Args:
        root: made when it is needed; on a local disk.
        max_bytes: of all of them; beyond that the least recently used go, if nobody uses them.
    """

    def __init__(self, root: Path, *, max_bytes: int = 8 << 30) -> None:
        self._root = root
        self._max_bytes = max_bytes

    def sizes_bytes(self) -> list[int]:
        """The size of each environment that is complete."""
        if not self._root.is_dir():
            return []
        return [size_bytes for used_at_s, size_bytes, _ in self._all() if used_at_s]

    def prepare(
        self,
        requires: Sequence[str],
        *,
        log: Path,
        deadline_s: float,
        python: str | None = None,
        packages: Sequence[Path] = (),
        may_build: bool = False,
    ) -> Environment:
        """An environment with all of these, built where there is none yet.

        Args:
            requires: as "river==0.22.0" (PEP 508), from where the user's pip takes packages.
            log: gets what pip says, while it says it.
            deadline_s: time for all of it, another's build of the same included.
            python: version as "3.12", or path of an interpreter; None: the one that runs this.
            packages: wheels to install besides; where `may_build`, also folders and source archives.
            may_build: also install what has no wheel, which runs its code outside any fence.

        Raises:
            InvalidInput: a requirement or package can't be installed like that; nothing was begun.
            Unavailable: there is no such Python, pip fails, or the deadline passed; nothing is left of it.
        """
        deadline_s += time.monotonic()
        wanted = _checked(requires, packages, may_build=may_build)
        base = find_python(python)
        sha256 = _sha256(wanted, packages, base, may_build=may_build)
        self._root.mkdir(parents=True, exist_ok=True)
        folder = self._root / sha256
        while True:
            lock = self._locked(sha256, fcntl.LOCK_SH, deadline_s)
            if (size_bytes := _size_of_complete(folder)) is not None:
                with contextlib.suppress(OSError):
                    os.utime(folder / _MARK)
                return Environment(
                    folder / "bin" / "python", base.shown_with(folder), sha256, size_bytes, lock
                )
            os.close(lock)
            self._build(folder, base, [*wanted, *map(str, packages)], log, deadline_s, may_build=may_build)
            self._remove_oldest(sha256)

    def _build(
        self,
        folder: Path,
        base: BasePython,
        wanted: list[str],
        log: Path,
        deadline_s: float,
        *,
        may_build: bool,
    ) -> None:
        lock = self._locked(folder.name, fcntl.LOCK_EX, deadline_s)
        try:
            if _size_of_complete(folder) is not None:
                # Another one has built it while we waited.
                return
            shutil.rmtree(folder, ignore_errors=True)
            try:
                build(folder, base, wanted, log, deadline_s, may_build=may_build)
                size_bytes = _disk_use(folder)
                if size_bytes > self._max_bytes:
                    message = (
                        f"the environment of {', '.join(wanted)} takes {size_bytes} bytes, and all together"
                        f" may take {self._max_bytes}; require less, or allow more"
                    )
                    raise Unavailable(message)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            mark = {"requires": wanted, "python": base.version, "bytes": size_bytes}
            unfinished = folder / f"{_MARK}.new"
            unfinished.write_text(json.dumps(mark), encoding="utf-8")
            unfinished.replace(folder / _MARK)
        finally:
            os.close(lock)

    def _locked(self, sha256: str, how: int, deadline_s: float) -> int:
        """An open descriptor that holds the lock.

        flock(2), since it can be shared, which the lock of `filelock` can't.
        """
        lock = os.open(self._root / f"{sha256}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        while True:
            try:
                fcntl.flock(lock, how | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline_s:
                    os.close(lock)
                    message = (
                        f"another process builds the environment {sha256[:12]}; it takes longer than allowed"
                    )
                    raise Unavailable(message) from None
                time.sleep(_LOCK_INTERVAL_S)
            else:
                return lock

    def _remove_oldest(self, kept: str) -> None:
        """Also what is left of builds that were killed."""
        found = sorted(self._all(), key=lambda entry: entry[0])
        total_bytes = sum(size_bytes for _, size_bytes, _ in found)
        for used_at_s, size_bytes, folder in found:
            is_over = total_bytes > self._max_bytes or used_at_s == 0
            if folder.name != kept and is_over and self._remove_unused(folder):
                total_bytes -= size_bytes

    def _all(self) -> Iterator[tuple[float, int, Path]]:
        """When it was used last (0: it is not complete), its size, its folder."""
        for folder in self._root.iterdir():
            if folder.is_dir():
                size_bytes = _size_of_complete(folder)
                yield (0.0, 0, folder) if size_bytes is None else (_used_at_s(folder), size_bytes, folder)

    def _remove_unused(self, folder: Path) -> bool:
        try:
            lock = self._locked(folder.name, fcntl.LOCK_EX, deadline_s=0)
        except Unavailable:
            return False
        try:
            # At first: without it, what is half removed is taken for nothing.
            (folder / _MARK).unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)
        return True


def _checked(requires: Sequence[str], packages: Sequence[Path], *, may_build: bool) -> list[str]:
    wanted = sorted(str(_requirement(text, may_build=may_build)) for text in requires)
    for package in packages:
        is_wheel = package.suffix == ".whl" and package.is_file()
        if not (is_wheel or (may_build and package.exists())):
            message = (
                f"{package} is no wheel, and to build it would run its code; give a wheel, or allow that"
            )
            raise InvalidInput(message)
    return wanted


def _requirement(text: str, *, may_build: bool) -> Requirement:
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        message = f'{text!r} is no requirement ({error}); write it as "river==0.22.0"'
        raise InvalidInput(message) from error
    if requirement.url and not may_build:
        message = f"{text!r} names a place, and what lies there may have to be built; give a name and version"
        raise InvalidInput(message)
    return requirement


def _sha256(wanted: Sequence[str], packages: Sequence[Path], base: BasePython, *, may_build: bool) -> str:
    content = hashlib.sha256()
    for text in (
        str(_FORMAT),
        platform.machine(),
        base.version,
        str(base.executable),
        str(may_build),
        *wanted,
    ):
        content.update(text.encode() + b"\0")
    for package in packages:
        files = (
            [package] if package.is_file() else sorted(path for path in package.rglob("*") if path.is_file())
        )
        for file in files:
            content.update(f"{package.name}/{file.relative_to(package)}\0{file.stat().st_size}\0".encode())
            with file.open("rb") as opened:
                content.update(hashlib.file_digest(opened, "sha256").digest())
    return content.hexdigest()


def _size_of_complete(folder: Path) -> int | None:
    """Its size on disk; None where it is not complete."""
    try:
        return int(json.loads((folder / _MARK).read_text(encoding="utf-8"))["bytes"])
    except FileNotFoundError:
        return None


def _used_at_s(folder: Path) -> float:
    try:
        return (folder / _MARK).stat().st_mtime
    except OSError:
        return 0.0


def _disk_use(folder: Path) -> int:
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))
