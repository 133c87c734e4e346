"""Which processes a supervisor has started, recorded so that the next one can end them."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Mapping
from pathlib import Path

import psutil
from pydantic import TypeAdapter, ValidationError

from microservo.adapters.files import write_whole
from microservo.errors import InvalidInput

# A pid is used again only after all others; within a second of the same creation time it is the same process.
_SAME_S = 1.0
_GONE_WITHIN_S = 5.0
_ENTRIES = TypeAdapter(dict[str, tuple[int, float]])
"""Pid and time of creation by name."""


def write_record(path: Path, pids: Mapping[str, int]) -> None:
    """Writes `{name: [pid, create_time]}` in one step; create_time is in epoch seconds.

    Raises:
        OSError: it can't be written.
    """
    entries: dict[str, tuple[int, float]] = {}
    for name, pid in pids.items():
        # One that has just ended needs no record.
        with contextlib.suppress(psutil.NoSuchProcess):
            entries[name] = (pid, psutil.Process(pid).create_time())
    write_whole(path, _ENTRIES.dump_json(entries))


def kill_leftovers(record: Path) -> list[str]:
    """Kills the recorded processes that still run, with their groups, and returns their names.

    The record is removed.

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
        entries = _ENTRIES.validate_json(record.read_bytes())
    except ValidationError as error:
        message = (
            f"{record} is not a record of processes ({error.errors()[0]['msg']}); "
            "delete it once nothing is left running"
        )
        raise InvalidInput(message) from error
    return {name: _same(pid, created_s) for name, (pid, created_s) in entries.items()}


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
