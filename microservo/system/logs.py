"""The logs of a system: those of the last start are kept beside those of this one."""

from __future__ import annotations

import contextlib
import logging
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from microservo.runtime.logging import JsonFormatter

OWN_LOG = "system.log"


class _OwnLog(logging.FileHandler):
    """Loses lines while they can't be written, for example on a full disk.

    `logging` would show a traceback on the terminal for each; that the disk is full is said by the
    supervisor's documents, once.
    """

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exception(), OSError):
            super().handleError(record)


@contextlib.contextmanager
def fresh_logs(folder: Path) -> Iterator[None]:
    """An empty folder for logs; what this process itself logs goes there too, as `system.log`.

    Raises:
        OSError: it can't be made.
    """
    former = folder.with_name(f"{folder.name}.previous")
    if folder.exists():
        shutil.rmtree(former, ignore_errors=True)
        folder.rename(former)
    folder.mkdir(parents=True)
    handler = _OwnLog(folder / OWN_LOG, encoding="utf-8")
    handler.setFormatter(JsonFormatter("system"))
    logger = logging.getLogger()
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()
