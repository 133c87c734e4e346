"""What the machine is that a run takes place on: no names of people, no paths, and of its own name a hash."""

from __future__ import annotations

import hashlib
import os
import platform
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

from schemas.records import RunMachine

_CLOCK_SOURCE = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
_CONTROL_GROUPS = (
    Path("/sys/fs/cgroup"),
    Path("/sys/fs/cgroup/memory"),
)
"""Where a container's own limit is told, in version 2 and version 1."""
_LIMIT_FILES = ("memory.max", "memory.limit_in_bytes")
_USAGE_FILES = ("memory.current", "memory.usage_in_bytes")
_HASH_DIGITS = 12


def machine() -> RunMachine:
    """This machine; empty where a system does not say something."""
    return RunMachine(
        host_hash=hashlib.sha256(platform.node().encode()).hexdigest()[:_HASH_DIGITS],
        system=platform.system(),
        kernel=platform.release(),
        architecture=platform.machine(),
        cpu_model=cpu_model(),
        cpus=os.cpu_count() or 0,
        memory_bytes=psutil.virtual_memory().total,
        python=platform.python_version(),
        clock_source=_text(_CLOCK_SOURCE).strip(),
        clock_resolution_ns=round(time.get_clock_info("time").resolution * 1e9),
    )


def cpu_model() -> str:
    """What the processor calls itself."""
    lines = _text(Path("/proc/cpuinfo")).splitlines()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, "") or platform.processor() or platform.machine()


def available_memory_bytes(groups: Iterable[Path] = _CONTROL_GROUPS) -> int:
    """Memory that new processes can take without others being swapped out or killed.

    Args:
        groups: folders of control groups, whose limits count as well; for tests.
    """
    left = (_left_bytes(group) for group in groups)
    return min([psutil.virtual_memory().available, *(each for each in left if each is not None)])


def _left_bytes(group: Path) -> int | None:
    """What a control group has left of its limit, and of file cache to give up; None if unlimited."""
    for limit_file, usage_file in zip(_LIMIT_FILES, _USAGE_FILES, strict=True):
        limit, usage = _text(group / limit_file).strip(), _text(group / usage_file).strip()
        if limit.isdecimal() and usage.isdecimal():
            return max(0, int(limit) - int(usage) + _inactive_file_bytes(group))
    return None


def _inactive_file_bytes(group: Path) -> int:
    lines = (line.split() for line in _text(group / "memory.stat").splitlines())
    found = {words[0]: int(words[1]) for words in lines if len(words) == 2 and words[1].isdecimal()}
    return found.get("total_inactive_file", found.get("inactive_file", 0))


def clock_difference_us() -> int:
    """How far the wall clock is ahead of one that nobody sets; how it changes tells that one was set."""
    return (time.time_ns() - time.monotonic_ns()) // 1_000


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError:
        return ""
