"""What runs first inside a fence: binds limits to itself, waits for the host, becomes the command.

Run as `python -I -S -c <this text> SETTINGS COMMAND...`, since no file of ours is inside. It sends the host
open folders of the fence and goes on at the host's answer: a host that was killed meanwhile gives none, so no
plug-in ever starts without its host. Imports as little as it can: it runs before every fenced process.
"""

from __future__ import annotations

import _socket
import json
import os
import resource
import struct
import sys

_DOES_NOT_START = 127


def main() -> int:
    """Becomes the command; returns only when that fails."""
    settings, command = json.loads(sys.argv[1]), sys.argv[2:]
    if settings["snapshot"]:
        _restore(settings["snapshot"], settings["state"])
    host = _socket.socket(fileno=settings["host"])
    _send_folders(host, settings["folders"])
    if host.recv(1) != b"g":
        return _DOES_NOT_START
    # Whoever holds an open folder of the machine can climb out of the fence by it.
    _close_all()
    os.umask(0o022)
    os.nice(settings["nice"])
    _die_first()
    for process in settings["processes"]:
        for number, value in settings["limits"]:
            _limit(process, number, value)
    try:
        os.execv(command[0], command)  # noqa: S606 - a shell is what we don't want
    except OSError as error:
        sys.stderr.write(f"{command[0]} can't be started in the fence: {error}\n")
    return _DOES_NOT_START


def _restore(snapshot: str, state: str) -> None:
    import shutil  # noqa: PLC0415 - most fences start without a snapshot, and without what this costs

    shutil.copytree(snapshot, state, dirs_exist_ok=True, copy_function=shutil.copyfile)


def _send_folders(host: _socket.socket, folders: list[str]) -> None:
    opened = [os.open(folder, os.O_RDONLY | os.O_DIRECTORY) for folder in folders]
    rights = struct.pack(f"{len(opened)}i", *opened)
    host.sendmsg([b"r"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)])


def _close_all() -> None:
    """Everything but stdin, stdout and stderr; the bound on descriptors may be a thousand million."""
    for name in os.listdir("/dev/fd"):
        if int(name) > 2:
            try:
                os.close(int(name))
            except OSError:
                # It was the listing's own.
                continue


def _die_first() -> None:
    """Where the machine runs out of memory, the kernel ends this rather than another."""
    if sys.platform == "linux":
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("1000")


def _limit(process: int, number: int, value: int) -> None:
    """Lowers a limit for good; what the machine allows less of stays as it is."""
    _, hard = resource.getrlimit(number)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    try:
        if process == 0:
            resource.setrlimit(number, (value, value))
        elif sys.platform == "linux":
            resource.prlimit(process, number, (value, value))
    except (ValueError, OSError) as error:
        # Only macOS refuses, and only some.
        sys.stderr.write(f"limit {number} can't be set to {value}: {error}\n")


if __name__ == "__main__":
    sys.exit(main())
