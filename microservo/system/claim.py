"""The claim on a system's name: one process at a time, given up by the kernel however that process ends."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator

from microservo.errors import InvalidInput
from microservo.supervision.system_file import read_system, system_dir


@contextlib.contextmanager
def claimed(name: str) -> Iterator[None]:
    """Holds the name for as long as the context lasts.

    Raises:
        InvalidInput: another process holds it.
    """
    directory = system_dir(name)
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InvalidInput(_taken(name)) from error
        yield


def _taken(name: str) -> str:
    known = read_system(name)
    who = f" (run {known.run_id}, pid {known.pid})" if known else ""
    return f"a system called {name!r} runs already{who}; stop it, or take another name: --name other"
