"""Documents about processes; where one can't be written, it is tried again and the processes go on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

RETRY_S = 2.0

Later = Callable[[float, Callable[[], None]], None]
"""Calls something after so many seconds, on the thread that writes."""

_log = logging.getLogger(__name__)


class DocumentWriter:
    """Writes documents; of one that can't be written the newest content is tried again until it is.

    Belongs to one thread.

    Args:
        later: calls it back.
        report: gets one line when the first document can't be written, and one when all are written again.
    """

    def __init__(self, later: Later, report: Callable[[str], None]) -> None:
        self._later = later
        self._report = report
        self._unwritten: dict[Path, Callable[[], None]] = {}
        self._is_failing = False

    def write(self, path: Path, write: Callable[[], None]) -> None:
        """Writes a document, now or as soon as there is room.

        Args:
            path: of the document.
            write: writes what is to be known at the time of its call; raises OSError where it can't.
        """
        self._unwritten[path] = write
        self._write_all()

    def _write_all(self) -> None:
        for path, write in list(self._unwritten.items()):
            try:
                write()
            except OSError as error:
                self._note_failure(path, error)
            except Exception:
                # A defect of the caller: to try again would only repeat it.
                _log.exception("%s was not written", path)
                del self._unwritten[path]
            else:
                del self._unwritten[path]
        if self._is_failing and not self._unwritten:
            self._is_failing = False
            self._report("there is room again; everything is written down")

    def _note_failure(self, path: Path, error: OSError) -> None:
        if not self._is_failing:
            self._is_failing = True
            self._report(
                f"{path} can't be written ({error.strerror or error}); everything goes on, "
                "and it is written as soon as there is room"
            )
            self._later(RETRY_S, self._retry)

    def _retry(self) -> None:
        self._write_all()
        if self._unwritten:
            self._later(RETRY_S, self._retry)
