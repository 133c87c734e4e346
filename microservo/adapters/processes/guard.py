"""Kills what a process leaves behind when it is killed itself: `python -I -S guard.py`, a pipe on stdin.

The process writes `+PID` for each process group it starts and `-PID` when that one is gone. The pipe
ends with the process, however that dies; then every group that is left is killed, grandchildren
included.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys


def main() -> None:
    """Reads until the writer is gone."""
    # Ctrl-C goes to whole terminals; this process must be the last to leave.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    groups: dict[int, None] = {}
    for line in sys.stdin:
        pid = int(line[1:])
        if line[0] == "+":
            groups[pid] = None
        else:
            groups.pop(pid, None)
    for pid in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
