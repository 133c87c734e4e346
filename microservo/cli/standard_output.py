"""Standard output and error that fail in one way, for every writer.

What goes wrong when we write is kept apart from what goes wrong elsewhere: a reader that has enough
(`| head`) is what the user wants, a broken pipe of a process of our own is not.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
from typing import TYPE_CHECKING, BinaryIO, TextIO, cast

from microservo.errors import MicroServoError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class ReaderGone(Exception):
    """Nobody reads standard output any more."""


class OutputFailed(MicroServoError):
    """Standard output can't be written."""


class _Output(io.FileIO):
    """A descriptor that is written until it fails, and never after."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._failed = False

    def write(self, data: ReadableBuffer, /) -> int:
        """Writes; a failure is raised once, in the main thread only."""
        rest = memoryview(data).cast("B")
        length = rest.nbytes
        if self._failed:
            return length
        try:
            while rest:
                rest = rest[super().write(rest) or 0 :]
        except OSError as error:
            if threading.current_thread() is not threading.main_thread():
                return length
            self._failed = True
            self._fail(error)
        return length

    def _fail(self, error: OSError) -> None:
        if isinstance(error, BrokenPipeError):
            raise ReaderGone from error
        msg = f"standard output can't be written: {error.strerror}; free some room or write to another place"
        raise OutputFailed(msg) from error


class _StandardError(_Output):
    """Standard error: a failure to write it can't be reported anywhere."""

    def _fail(self, error: OSError) -> None:
        del error


def guard_standard_streams() -> None:
    """Puts guarded streams in place of `sys.stdout` and `sys.stderr`.

    They keep their encoding; what it lacks is written as an escape. A stream that was closed before we began
    gets its descriptor back, so that no file or socket of ours is taken for it.
    """
    with contextlib.suppress(AttributeError):
        sys.stdout.flush()
    _occupy(0, os.O_RDONLY)
    _occupy(1, os.O_RDONLY)  # writing there fails, as it must
    _occupy(2, os.O_WRONLY)
    sys.stdout = _stream(_Output(1), sys.stdout)
    sys.stderr = _stream(_StandardError(2), sys.stderr)


def _occupy(descriptor: int, mode: int) -> None:
    try:
        os.fstat(descriptor)
    except OSError:
        opened = os.open(os.devnull, mode)
        if opened != descriptor:
            os.dup2(opened, descriptor)
            os.close(opened)


def _stream(raw: io.FileIO, former: TextIO | None) -> TextIO:
    encoding = former.encoding if former is not None else "utf-8"
    # No buffer of bytes between: one that Ctrl-C interrupts while it writes would write the same again at the
    # end. This one forgets what it hands on before it does, and hands on whole lines.
    buffer = cast("BinaryIO", raw)
    return io.TextIOWrapper(buffer, encoding=encoding, errors="backslashreplace", line_buffering=True)
