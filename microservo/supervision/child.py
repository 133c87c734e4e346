"""Runs a command that does not outlive its supervisor: `python -I -S child.py SUPERVISOR_PID COMMAND...`.

On Linux the kernel is asked to kill this process when the thread that started it ends (prctl(2),
PR_SET_PDEATHSIG), which stays so across exec. macOS has no such thing: there only the guard watches
(`microservo.supervision.guard`). Imports as little as it can: it runs before every supervised process.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_NOT_FOUND = 127


def main() -> int:
    """Becomes the command; returns only when that fails."""
    supervisor, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # The supervisor may have died before the line above: then no signal comes.
    if os.getppid() != supervisor:
        return _NOT_FOUND
    # What is ignored stays so across exec: Python ignores the first two for itself, and a shell the last two
    # for what it starts in the background.
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)  # noqa: S606 - a shell is what we don't want
    except OSError as error:
        sys.stderr.write(f"{command[0]} can't be started: {error}\n")
    return _NOT_FOUND


if __name__ == "__main__":
    sys.exit(main())
