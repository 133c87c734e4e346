"""From where users asked: nginx' log of it, read as it grows and begun anew before it gets large."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from microservo.domain.geography import Coordinates
from microservo.domain.registry.locations import Place
from microservo.errors import InvalidInput

logger = logging.getLogger(__name__)

MOST_BYTES = 8 * 1024 * 1024
CHUNK_BYTES = 1024 * 1024
LATE_S = 5.0
"""How long lines are still expected in a file that was replaced."""


class LocationsLog:
    """Reads the log; belongs to one thread.

    Args:
        path: of the file, which nginx makes.
        default: where those are taken to be of whom it isn't known.
        reopen: lets nginx write on into a new file.
        most_bytes: so large the file may become before another one is begun.
        late_s: see `LATE_S`.
        monotonic_s: seconds of a clock that only runs forward.
    """

    def __init__(
        self,
        path: Path,
        *,
        default: Coordinates,
        reopen: Callable[[], None],
        most_bytes: int | None = None,
        late_s: float = LATE_S,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._default = default
        self._reopen = reopen
        self._most_bytes = MOST_BYTES if most_bytes is None else most_bytes
        self._late_s = late_s
        self._monotonic_s = monotonic_s
        self._current: _Lines | None = None
        self._former: _Lines | None = None
        self._former_until_s = 0.0

    def read(self) -> list[Place]:
        """The requests that were logged since the last call, a mebibyte of each file at the most."""
        found = []
        if self._former is not None:
            lines = list(self._former.read())
            found += [self._place(line) for line in lines]
            if not lines and self._monotonic_s() >= self._former_until_s:
                self._former.close()
                self._former = None
        if self._current is None and self._path.exists():
            self._current = _Lines(self._path)
        if self._current is not None:
            found += [self._place(line) for line in self._current.read()]
            if self._current.position >= self._most_bytes and self._former is None:
                self._replace()
        return found

    def close(self) -> None:
        """Closes its files."""
        for each in (self._current, self._former):
            if each is not None:
                each.close()

    def _replace(self) -> None:
        self._path.unlink(missing_ok=True)
        self._former, self._current = self._current, None
        self._former_until_s = self._monotonic_s() + self._late_s
        self._reopen()

    def _place(self, line: bytes) -> Place:
        service, latitude, longitude = line.split(b" ")
        if not (latitude and longitude):
            return Place(service.decode(), self._default.latitude, self._default.longitude, 1)
        try:
            where = Coordinates(float(latitude), float(longitude))
        except (ValueError, InvalidInput):
            logger.warning("%r is no place; the request counts as one from here", line[:200])
            where = self._default
        return Place(service.decode(), where.latitude, where.longitude, 1)


class _Lines:
    """The whole lines of a file that grows."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("rb")
        self._rest = b""
        self.position = 0

    def read(self) -> Iterator[bytes]:
        chunk = self._file.read(CHUNK_BYTES)
        self.position += len(chunk)
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        yield from lines

    def close(self) -> None:
        self._file.close()
