"""What is written about a deployed algorithm where it runs: by pip, by its host, and by itself."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, get_args

from microservo.application.command import Command, Context
from microservo.errors import InvalidInput, Unavailable

LogSource = Literal["build", "host", "algorithm"]
"""What pip said while its environment was built; its host; what it printed itself."""

POLL_S = 0.2
_READ_BYTES = 1 << 16
_MOST_LINE_BYTES = 1 << 16
"""A line that is longer is given in pieces: one without end must not be waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """A line of a log, as it was written."""

    source: LogSource
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadAlgorithmLogs(Command[Iterator[LogLine]]):
    """Asks for the logs of an algorithm that runs on this machine.

    Attributes:
        name: under which it is deployed.
        version: which one; the newest that has run here if not given.
        follow: also what is written from now on, without an end.
        folder: of the runner; that of the running system if not given.
    """

    name: str
    version: int | None = None
    follow: bool = False
    folder: Path | None = None


def read_algorithm_logs(command: ReadAlgorithmLogs, context: Context) -> Iterator[LogLine]:
    """The lines, log by log, and then as they come.

    Raises:
        InvalidInput: no algorithm of this name and version has run here.
        Unavailable: no system runs here.
    """
    root = command.folder or _folder(context)
    folder = root / f"{command.name}@{_version(command, root)}"
    return _lines(folder, follow=command.follow)


def versions_here(folder: Path) -> dict[str, list[int]]:
    """The versions that have run on this machine, by name, the newest last."""
    found: dict[str, list[int]] = {}
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            name, _, version = path.name.rpartition("@")
            if name and version.isdecimal():
                found.setdefault(name, []).append(int(version))
    return {name: sorted(versions) for name, versions in sorted(found.items())}


def _folder(context: Context) -> Path:
    system = context.connection.system
    if system is None or not system.algorithms_dir:
        msg = (
            "the logs are where the algorithm runner is, and no system runs on this machine; "
            "call this there, with --folder for the runner's folder"
        )
        raise Unavailable(msg)
    return Path(system.algorithms_dir)


def _version(command: ReadAlgorithmLogs, root: Path) -> int:
    here = versions_here(root)
    versions = here.get(command.name, [])
    if not versions:
        known = ", ".join(here) or "none"
        msg = f"no algorithm {command.name!r} has run in {root}; those that have: {known}"
        raise InvalidInput(msg)
    if command.version is None:
        return versions[-1]
    if command.version not in versions:
        known = ", ".join(map(str, versions))
        msg = f"version {command.version} of {command.name!r} has not run here; those that have: {known}"
        raise InvalidInput(msg)
    return command.version


def _lines(folder: Path, *, follow: bool) -> Iterator[LogLine]:
    with contextlib.ExitStack() as stack:
        logs = [stack.enter_context(_Log(source, folder / f"{source}.log")) for source in get_args(LogSource)]
        for log in logs:
            yield from log.lines()
        while follow:
            for log in logs:
                yield from log.lines()
            time.sleep(POLL_S)
        for log in logs:
            yield from log.rest()


class _Log(contextlib.AbstractContextManager["_Log"]):
    """One log, through what becomes of its file: made later, moved aside when it is full, written anew."""

    def __init__(self, source: LogSource, path: Path) -> None:
        self._source = source
        self._path = path
        self._former = path.with_name(f"{path.name}.1")
        self._file: BinaryIO | None = None
        self._unfinished = b""
        self._opens_former = True

    def lines(self) -> Iterator[LogLine]:
        """The whole lines that were not given yet."""
        if self._file is None:
            self._file = self._open()
        while self._file is not None:
            yield from self._new_lines(self._file)
            following = None if self._is_newest(self._file) else self._open()
            if following is None:
                return
            # What was written before it was moved is not lost.
            yield from self._new_lines(self._file)
            self._file.close()
            self._file = following

    def rest(self) -> Iterator[LogLine]:
        """What is there of a line that has no end."""
        if self._unfinished:
            yield self._line(self._unfinished)
            self._unfinished = b""

    def _new_lines(self, file: BinaryIO) -> Iterator[LogLine]:
        while data := file.read(_READ_BYTES):
            *whole, self._unfinished = (self._unfinished + data).split(b"\n")
            yield from map(self._line, whole)
            if len(self._unfinished) > _MOST_LINE_BYTES:
                yield from self.rest()

    def _open(self) -> BinaryIO | None:
        """What comes next: at first what was moved aside, then the file itself; None where there is none."""
        paths = (self._former, self._path) if self._opens_former else (self._path,)
        self._opens_former = False
        for path in paths:
            with contextlib.suppress(OSError):
                return path.open("rb")
        return None

    def _is_newest(self, file: BinaryIO) -> bool:
        """Whether the file that is read is the one of that name; a shorter one was written anew."""
        try:
            named = self._path.stat()
        except OSError:
            return True
        own = os.fstat(file.fileno())
        if (named.st_dev, named.st_ino) != (own.st_dev, own.st_ino):
            return False
        return named.st_size >= file.tell()

    def _line(self, data: bytes) -> LogLine:
        return LogLine(source=self._source, text=data.decode("utf-8", "replace").rstrip("\r"))

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
