"""Starts bwrap for root as an ordinary user: `python -I -S fence_root.py SETTINGS BWRAP...`.

Where the host is root, no bound on processes would hold for it and its files would be the plug-in's, so bwrap
runs as a user of no name. That one can't walk to a folder below `/root`; here each is mounted below `/tmp`,
in a mount namespace that only bwrap sees and that ends with it.
"""

from __future__ import annotations

import ctypes
import json
import os
import stat
import sys

VIEW = "/tmp"  # noqa: S108 - a tmpfs of its own, in a namespace of its own
_NEW_MOUNTS = 0x00020000
_BIND, _RECURSIVE, _PRIVATE = 4096, 16384, 1 << 18
_NO_SUID, _NO_DEVICES = 2, 4
_CANNOT = 126


def main() -> int:
    """Becomes the command; returns only when that fails."""
    settings, command = json.loads(sys.argv[1]), sys.argv[2:]
    user = settings["user"]
    try:
        _show(settings["folders"])
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
        os.execv(command[0], ["bwrap", *command[1:]])  # noqa: S606 - a shell is what we don't want
    except OSError as error:
        sys.stderr.write(
            f"root can't start it as the user {user} ({error}); as an ordinary user, none of this is needed\n"
        )
    return _CANNOT


def _show(folders: list[str]) -> None:
    """Mounts each at `VIEW` and its place in the list."""
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.unshare(_NEW_MOUNTS), "unshare")
    _mount(libc, "none", "/", None, _RECURSIVE | _PRIVATE)
    # Some may lie below `VIEW`.
    opened = [os.open(folder, os.O_PATH) for folder in folders]
    _mount(libc, "tmpfs", VIEW, "tmpfs", _NO_SUID | _NO_DEVICES)
    os.chmod(VIEW, 0o755)  # noqa: S103 - the user must walk through it
    for place, folder in enumerate(opened):
        target = f"{VIEW}/{place}"
        # A mount needs something of its own kind to lie on.
        if stat.S_ISDIR(os.fstat(folder).st_mode):
            os.mkdir(target)
        else:
            os.close(os.open(target, os.O_CREAT))
        _mount(libc, f"/proc/self/fd/{folder}", target, None, _BIND | _RECURSIVE)
        os.close(folder)


def _mount(libc: ctypes.CDLL, source: str, target: str, kind: str | None, flags: int) -> None:
    result = libc.mount(source.encode(), target.encode(), kind and kind.encode(), ctypes.c_ulong(flags), None)
    _check(result, f"mount {source} at {target}")


def _check(result: int, what: str) -> None:
    if result:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), what)


if __name__ == "__main__":
    sys.exit(main())
