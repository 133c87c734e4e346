"""The claim on a system's name: one process at a time, given up by the kernel however that process ends."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import filelock

from microservo.adapters.files import writable
from microservo.errors import InvalidInput
from microservo.supervision.system_file import home, read_system, system_dir


@contextlib.contextmanager
def claimed(name: str) -> Iterator[None]:
    """Holds the name for as long as the context lasts.

    Raises:
        InvalidInput: another process holds it.
        Unavailable: the system's folder can't be written.
    """
    directory = system_dir(name)
    lock = filelock.FileLock(directory / "lock", blocking=False)
    with writable(home(), "set MICROSERVO_HOME to a folder that can"):
        directory.mkdir(parents=True, exist_ok=True)
        _acquire(lock, name)
    try:
        yield
    finally:
        lock.release()


def _acquire(lock: filelock.BaseFileLock, name: str) -> None:
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise InvalidInput(_conflict(name)) from error


def _conflict(name: str) -> str:
    known = read_system(name)
    who = f" (run {known.run_id}, pid {known.pid})" if known else ""
    return f"a system called {name!r} runs already{who}; stop it, or take another name: --name other"
