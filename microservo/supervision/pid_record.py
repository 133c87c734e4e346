"""Which processes a supervisor has started, written down so that the next one can clear them away."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path

import psutil

from microservo.errors import InvalidInput

# A pid is used again only after all others; within a second of the same creation time it is the same process.
_SAME_S = 1.0
_GONE_WITHIN_S = 5.0


def write_record(path: Path, pids: Mapping[str, int]) -> None:
    """Writes `{name: [pid, create_time]}` in one step; create_time is in epoch seconds."""
    entries = {}
    for name, pid in pids.items():
        # One that has just ended needs no record.
        with contextlib.suppress(psutil.NoSuchProcess):
            entries[name] = [pid, psutil.Process(pid).create_time()]
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    draft.write_text(json.dumps(entries), encoding="utf-8")
    draft.replace(path)


def kill_leftovers(record: Path) -> list[str]:
    """Kills the processes on record that still run, with their groups; gives their names, removes the record.

    Call it before a supervisor is started with the same record, and only when the one that wrote it is dead.

    Raises:
        InvalidInput: the file is no such record; delete it after a look at what runs.
    """
    if not record.exists():
        return []
    found = {name: process for name, process in _read(record).items() if process is not None}
    for process in found.values():
        _kill(process)
    psutil.wait_procs(found.values(), timeout=_GONE_WITHIN_S)
    record.unlink(missing_ok=True)
    return list(found)


def _read(record: Path) -> dict[str, psutil.Process | None]:
    try:
        entries = json.loads(record.read_text(encoding="utf-8"))
        return {str(name): _same(int(pid), float(created_s)) for name, (pid, created_s) in entries.items()}
    except (ValueError, TypeError, AttributeError) as error:
        message = f"{record} is not a record of processes ({error}); delete it once nothing is left running"
        raise InvalidInput(message) from error


def _same(pid: int, created_s: float) -> psutil.Process | None:
    """The process with this pid if it is still the one that was recorded."""
    try:
        process = psutil.Process(pid)
        return process if abs(process.create_time() - created_s) < _SAME_S else None
    except psutil.NoSuchProcess:
        return None


def _kill(process: psutil.Process) -> None:
    try:
        if os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    except (ProcessLookupError, psutil.NoSuchProcess):
        # It went by itself in the meantime, which is as good.
        return
