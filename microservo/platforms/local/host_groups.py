"""Control groups of Linux, which hold the containers of a host to its share of processor and memory.

One group for each host, within one for the launcher, beneath the group that the launcher itself is in.
Version 2 needs that one, or the one above it, to be writable and to hand `cpu` and `memory` on; of version 1
the two hierarchies of these names are used. Where neither can be had nothing is enforced, and it is said why.

Source: the kernel's Documentation/admin-guide/cgroup-v2.rst (cpu.max, memory.max, cgroup.subtree_control) and
Documentation/admin-guide/cgroup-v1/memory.rst, Documentation/scheduler/sched-bwc.rst (cpu.cfs_quota_us).
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from microservo.errors import Unavailable

Enforced = Literal["cgroup v2", "cgroup v1", "accounted"]
"""What holds hosts to their shares; `accounted`: nothing does, so what would be more than that is refused."""

MOUNTED = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
_PERIOD_US = 100_000
_LEAST_QUOTA_US = 1_000
_HAND_ON = "+cpu +memory"
_PROCESSES = "cgroup.procs"
_log = logging.getLogger(__name__)


class HostGroups:
    """The groups of the hosts of one launcher; belongs to whoever holds the lock of the hosts.

    Args:
        parents: the launcher's own group, in each hierarchy; none where nothing can be enforced.
        enforced: what these are.
        why_not: why nothing can be enforced; empty where it is.

    Attributes:
        enforced: likewise.
        why_not: likewise.
    """

    def __init__(
        self, parents: Sequence[Path] = (), enforced: Enforced = "accounted", why_not: str = ""
    ) -> None:
        self.enforced: Enforced = enforced
        self.why_not = why_not
        self._parents = tuple(parents)
        self._names: dict[str, str] = {}
        self._numbered = 0

    def begin(self, host: str, *, cpus: float, memory_bytes: int) -> None:
        """Makes the group of a host.

        Args:
            host: its name.
            cpus: processors that its containers may keep busy, all together.
            memory_bytes: what they may take, all together; who takes more is killed.

        Raises:
            Unavailable: it can't be made.
        """
        self._numbered += 1
        name = self._names[host] = f"host-{self._numbered}"
        quota_us = max(_LEAST_QUOTA_US, round(cpus * _PERIOD_US))
        limits = _limits_of(self.enforced, quota_us, memory_bytes)
        try:
            for parent in self._parents:
                group = parent / name
                group.mkdir()
                for file, value in limits.items():
                    if (group / file).exists():
                        (group / file).write_text(value)
        except OSError as error:
            self.end(host)
            msg = f"the control group of host {host} can't be made ({error}); see to {self._parents[0]}"
            raise Unavailable(msg) from error

    def add(self, host: str, pid: int) -> None:
        """Puts a process of a host into its group, with all that it starts from then on."""
        name = self._names.get(host)
        for parent in self._parents if name is not None else ():
            try:
                (parent / str(name) / _PROCESSES).write_text(str(pid))
            except ProcessLookupError:
                return
            except OSError as error:
                _log.warning("process %d is not held to the shares of host %s: %s", pid, host, error)

    def end(self, host: str) -> None:
        """Removes the group of a host whose processes have ended."""
        name = self._names.pop(host, None)
        if name is not None:
            for parent in self._parents:
                _remove(parent / name)

    def close(self) -> None:
        """Removes all of them, once no process is left."""
        for parent in self._parents:
            _remove_all(parent)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def host_groups(folder: Path, *, mounted: Path = MOUNTED, own: Path = OWN) -> HostGroups:
    """The groups that can be had here, for the launcher of a folder.

    Args:
        folder: of the launcher; the next one with the same folder removes what this one leaves.
        mounted: where control groups are mounted.
        own: the file that says in which groups this process is.
    """
    name = f"microservo-{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"
    try:
        mine = _own(own.read_text())
    except OSError as error:
        return HostGroups(why_not=f"there are no control groups here: {error}")
    for parents, enforced in ((_version_2(mounted, mine, name), 2), (_version_1(mounted, mine, name), 1)):
        if parents:
            return HostGroups(parents, "cgroup v2" if enforced == 2 else "cgroup v1")
    return HostGroups(why_not=f"no control group for processor and memory can be made beneath {mounted}")


def _version_2(mounted: Path, mine: Mapping[str, str], name: str) -> tuple[Path, ...]:
    """The group of the launcher in version 2, which hands both controllers on; empty where there is none."""
    if "" not in mine or not (mounted / "cgroup.controllers").exists():
        return ()
    here = _beneath(mounted, mine[""])
    for base in dict.fromkeys((here, mounted if here == mounted else here.parent)):
        group = base / name
        with _given_up(group):
            _make_anew(group)
            if not _limits(group):
                (base / "cgroup.subtree_control").write_text(_HAND_ON)
            if _limits(group):
                (group / "cgroup.subtree_control").write_text(_HAND_ON)
                return (group,)
            _remove(group)
    return ()


def _version_1(mounted: Path, mine: Mapping[str, str], name: str) -> tuple[Path, ...]:
    """The groups of the launcher in the two hierarchies of version 1; empty where one can't be had."""
    made: list[Path] = []
    for controller, file in (("cpu", "cpu.cfs_quota_us"), ("memory", "memory.limit_in_bytes")):
        joint = next((each for each in mine if controller in each.split(",")), None)
        if joint is None:
            break
        group = _beneath(mounted / joint, mine[joint]) / name
        with _given_up(group):
            _make_anew(group)
            if (group / file).exists():
                made.append(group)
                continue
            _remove(group)
        break
    else:
        return tuple(dict.fromkeys(made))
    for group in made:
        _remove(group)
    return ()


def _own(text: str) -> dict[str, str]:
    """Paths of groups by controllers, which are empty for version 2."""
    lines = (line.split(":", 2) for line in text.splitlines())
    return {words[1]: words[2] for words in lines if len(words) == 3}


def _beneath(mounted: Path, path: str) -> Path:
    return mounted / path.strip("/")


def _limits(group: Path) -> bool:
    return (group / "cpu.max").exists() and (group / "memory.max").exists()


def _make_anew(group: Path) -> None:
    """Makes a group, without what a launcher that was killed has left in it."""
    _remove_all(group)
    group.mkdir()


@contextlib.contextmanager
def _given_up(group: Path) -> Iterator[None]:
    """Removes a group that can't be used after all."""
    try:
        yield
    except OSError as error:
        _log.info("%s can't be used: %s", group, error)
        _remove(group)


def _remove_all(group: Path) -> None:
    if group.exists():
        for each in group.glob("host-*"):
            _remove(each)
        _remove(group)


def _remove(group: Path) -> None:
    try:
        group.rmdir()
    except FileNotFoundError:
        pass
    except OSError as error:
        _log.warning("%s stays: %s", group, error)


def _limits_of(enforced: Enforced, quota_us: int, memory_bytes: int) -> Mapping[str, str]:
    """What is written into which file of a host's group; not all of the files are there everywhere."""
    if enforced == "cgroup v2":
        return {
            "cpu.max": f"{quota_us} {_PERIOD_US}",
            "memory.max": str(memory_bytes),
            "memory.swap.max": "0",
        }
    return {
        "cpu.cfs_period_us": str(_PERIOD_US),
        "cpu.cfs_quota_us": str(quota_us),
        "memory.limit_in_bytes": str(memory_bytes),
        # Of memory and swap together; not below the other.
        "memory.memsw.limit_in_bytes": str(memory_bytes),
    }
