"""A session with a plain process, without a fence: for an author's own tests, and for ours."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from microservo.adapters.processes import child_environment
from microservo.algorithms.pipe import FilePipe
from microservo.algorithms.session import Session
from microservo.algorithms.spec import Plugin

FENCED = Path(__file__).with_name("fenced")
"""What is mounted beside the plug-in, read-only."""

ENVIRONMENT: Mapping[str, str] = {
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
"""What the process needs: sums and sets in the same order each time, and one processor."""

_STOP_S = 5


def command(python: str | Path = sys.executable, fenced: str | Path = FENCED) -> tuple[str, ...]:
    """The command of a fenced process. It needs `ENVIRONMENT`, so it can't be isolated (`-I`) from all of it.

    Args:
        python: the interpreter of the plug-in's environment.
        fenced: where `FENCED` is mounted.
    """
    return (str(python), "-s", "-P", str(fenced))


@contextmanager
def unfenced_session(
    plugin: Plugin, python: str | Path = sys.executable, log: IO[bytes] | None = None
) -> Iterator[Session]:
    """A session, not opened yet, with a process of its own that ends with the block.

    Args:
        plugin: what runs in it.
        python: the interpreter; it must have what the plug-in requires.
        log: gets what the plug-in prints; nobody does where None.
    """
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        process = stack.enter_context(_process(command(python), folder, log))
        assert process.stdin is not None
        assert process.stdout is not None
        pipe = FilePipe(process.stdin, process.stdout)
        yield Session(pipe, plugin.declaration, [str(path) for path in plugin.code])


@contextmanager
def _process(argv: Sequence[str], folder: str, log: IO[bytes] | None) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if log is None else log,
        env=child_environment(ENVIRONMENT),
        cwd=folder,
        start_new_session=True,
        bufsize=0,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(_STOP_S)
        for file in (process.stdin, process.stdout):
            if file is not None:
                file.close()
