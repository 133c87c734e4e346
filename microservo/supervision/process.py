"""One process of the machine: what to run, how it is started, signalled and looked into."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from microservo.adapters.processes import ISOLATED_PYTHON, child_environment
from microservo.errors import Unavailable

_CHILD = Path(__file__).with_name("child.py")
_TAIL_BYTES = 4096
_TAIL_LINES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """One process to keep.

    Args:
        name: unique within the supervisor.
        argv: the command and its arguments; never a shell line.
        env: added to what every child gets (`microservo.adapters.processes.child_environment`).
        log: file that gets stdout and stderr, appended.
        cwd: its working directory; the supervisor's own where None.
        restart: `always` starts it again whenever it ends, with a growing delay; `never` lets it end.
        stop_signal: what asks it to end.
        stop_timeout_s: how long it may take to follow that before it is killed.
        ready: whether it can be used; called often, must answer quickly. None: as soon as it runs.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    log: Path
    cwd: Path | None = None
    restart: Literal["always", "never"] = "always"
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_s: float = 5
    ready: Callable[[], bool] | None = None


def start_process(spec: ProcessSpec) -> subprocess.Popen[bytes]:
    """Starts it as the leader of a session and group of its own, so that it dies with the calling thread.

    Raises:
        Unavailable: its log can't be written, or the machine has no room for one more process.
    """
    command = [*ISOLATED_PYTHON, str(_CHILD), str(os.getpid()), *spec.argv]
    try:
        spec.log.parent.mkdir(parents=True, exist_ok=True)
        with spec.log.open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=child_environment(spec.env),
                cwd=spec.cwd,
                start_new_session=True,
            )
    except OSError as error:
        message = f"{spec.name} can't be started with its log {spec.log} ({error}); make that writable"
        raise Unavailable(message) from error


def terminate(process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGTERM) -> None:
    """Signals the process alone to end, which then ends its own children in its own order."""
    # Not Popen.terminate: that reaps a process which has just ended, from under the thread that waits for it.
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, number)


def signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Signals a process that has not been reaped, and all its group; no error when none is left."""
    # macOS refuses with EPERM when all that is left of the group are zombies.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def tail(log: Path) -> str:
    """The last lines of a log, or why they can't be had."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError as error:
        return f"(can't be read: {error})"
    return "\n".join(lines[-_TAIL_LINES:]) or "(nothing)"
