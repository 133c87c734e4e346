"""The guard from the side of the process that it guards."""

from __future__ import annotations

import logging
import os
import subprocess
from pathlib import Path

from microservo.adapters.processes.command import ISOLATED_PYTHON, child_environment

_log = logging.getLogger(__name__)


class Guard:
    """A process that kills what this one leaves behind when it is killed itself (`guard.py`).

    It stands for process groups, so it also reaches children of children.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [*ISOLATED_PYTHON, str(Path(__file__).with_name("guard.py"))],
            stdin=subprocess.PIPE,
            start_new_session=True,
            bufsize=0,
            env=child_environment(),
            # The folder that we are in may be unmounted while the guard runs.
            cwd=os.path.sep,
        )

    def watch(self, pid: int) -> None:
        """From now on the group of this leader is killed if this process ends."""
        self._send(f"+{pid}\n")

    def release(self, pid: int) -> None:
        """The group is gone."""
        self._send(f"-{pid}\n")

    def close(self) -> None:
        """Kills every group that was not released, and ends; may be repeated."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _send(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode())
        except BrokenPipeError:
            _log.warning("the guard is gone; if this process is killed, children of children may be left")
