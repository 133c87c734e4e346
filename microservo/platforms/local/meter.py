"""What instances use, read from outside: processes through psutil (a paused one too), and their network."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from time import monotonic

import psutil

from microservo.platforms.local.network_meter import NetworkMeter
from microservo.platforms.local.state import TargetState
from microservo.platforms.platform import Readings

_REUSED_AFTER_S = 5.0
"""A process that began this much later than the one we look for has merely got its pid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A process to read; `started_at_us` is when it was started, epoch microseconds UTC."""

    pid: int
    started_at_us: int


@dataclass(frozen=True, slots=True)
class _Counters:
    """Counters of a process at the last reading, to take differences from.

    Attributes:
        cpu_s: of the process and each descendant, without those that have ended.
        ended_cpu_s: of the descendants that have ended.
    """

    cpu_s: Mapping[tuple[int, float], float]
    ended_cpu_s: float
    switches: int
    read_at_s: float


class ProcessMeter:
    """Reads processes by a name of the caller's; rates are over the time since the reading before.

    Args:
        clock_s: seconds that never fall, for the rates.
    """

    def __init__(self, clock_s: Callable[[], float]) -> None:
        self._clock_s = clock_s
        self._before: dict[str, _Counters] = {}

    def read(self, wanted: Mapping[str, Wanted]) -> dict[str, dict[str, float]]:
        """Metrics by name; who is not in the answer does not run. Rates come with the second reading.

        Metrics: `process.cpu.utilization` (cores) and `process.memory.usage` (bytes resident), both with all
        descendants, of whose memory only what they share with nobody counts; `process.threads`,
        `process.open_file_descriptors`, `process.context_switches` (each s). How many descendants there are
        is no metric.
        """
        found: dict[str, dict[str, float]] = {}
        after: dict[str, _Counters] = {}
        children = _children()
        for name, process in wanted.items():
            # Gone between two looks at it: then it does not run.
            with contextlib.suppress(psutil.NoSuchProcess):
                root = _running(process)
                if root is not None:
                    found[name], after[name] = self._measure(
                        root, _descendants(root.pid, children), self._before.get(name)
                    )
        self._before = after
        return found

    def _measure(
        self, root: psutil.Process, family: Iterable[psutil.Process], before: _Counters | None
    ) -> tuple[dict[str, float], _Counters]:
        now_s = self._clock_s()
        with root.oneshot():
            root_cpu_s, ended_cpu_s = _cpu_s(root)
            cpu_s = {_identity(root): root_cpu_s}
            memory_bytes = root.memory_info().rss
            switches = sum(root.num_ctx_switches())
            metrics: dict[str, float] = {"process.threads": root.num_threads()}
            # Another user's process hides its files where we are not root.
            with contextlib.suppress(psutil.AccessDenied):
                metrics["process.open_file_descriptors"] = root.num_fds()
        for child in family:
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied), child.oneshot():
                cpu_s[_identity(child)], ended_s = _cpu_s(child)
                ended_cpu_s += ended_s
                memory_bytes += _own_bytes(child)
        metrics["process.memory.usage"] = memory_bytes
        counters = _Counters(cpu_s, ended_cpu_s, switches, now_s)
        return metrics | _rates(before, counters, _identity(root)), counters


class LocalMeter:
    """`Meter` of a local target: what `ProcessMeter` and `NetworkMeter` read of each instance.

    Args:
        state: the target at this moment; raises `Unavailable` while none runs.
    """

    def __init__(self, state: Callable[[], TargetState]) -> None:
        self._state = state
        self._processes = ProcessMeter(monotonic)
        self._network = NetworkMeter(monotonic)

    def read(self) -> Readings:
        instances = self._state().instances
        running = self._processes.read(
            {
                each.id: Wanted(pid=each.pid, started_at_us=each.started_at_us)
                for each in instances
                if each.pid is not None
            }
        )
        network = self._network.read(
            {each.id: each.sidecar_url for each in instances if each.sidecar_pid is not None}
        )
        return {name: running.get(name, {}) | network.get(name, {}) for name in running | network}


def _running(wanted: Wanted) -> psutil.Process | None:
    process = psutil.Process(wanted.pid)
    if process.create_time() > wanted.started_at_us / 1e6 + _REUSED_AFTER_S:
        return None
    return None if process.status() == psutil.STATUS_ZOMBIE else process


def _children() -> dict[int, list[psutil.Process]]:
    """Every process by its parent's pid; one walk for all, since each walk reads the whole of /proc."""
    children: dict[int, list[psutil.Process]] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess):
            children.setdefault(process.ppid(), []).append(process)
    return children


def _descendants(pid: int, children: Mapping[int, list[psutil.Process]]) -> Iterable[psutil.Process]:
    for child in children.get(pid, ()):
        if child.pid != pid:
            yield child
            yield from _descendants(child.pid, children)


def _own_bytes(process: psutil.Process) -> int:
    """Resident memory without the pages of files, which all that run the same program share."""
    memory = process.memory_info()
    return int(memory.rss - getattr(memory, "shared", 0))


def _identity(process: psutil.Process) -> tuple[int, float]:
    return process.pid, process.create_time()


def _cpu_s(process: psutil.Process) -> tuple[float, float]:
    """Processor time of a process, and of its children that have ended (0 where the system does not say)."""
    times = process.cpu_times()
    return times.user + times.system, times.children_user + times.children_system


def _rates(before: _Counters | None, after: _Counters, root: tuple[int, float]) -> dict[str, float]:
    """Rates between two readings; none for a process that was not there at the first."""
    if before is None or root not in before.cpu_s or after.read_at_s <= before.read_at_s:
        return {}
    interval_s = after.read_at_s - before.read_at_s
    # A child that is new has spent all it has since the reading before.
    used_s = sum(max(0.0, cpu_s - before.cpu_s.get(who, 0.0)) for who, cpu_s in after.cpu_s.items())
    # One that has ended since has left all it ever spent with its parent.
    known_s = sum(cpu_s for who, cpu_s in before.cpu_s.items() if who not in after.cpu_s)
    used_s += max(0.0, after.ended_cpu_s - before.ended_cpu_s - known_s)
    return {
        "process.cpu.utilization": used_s / interval_s,
        "process.context_switches": max(0, after.switches - before.switches) / interval_s,
    }
