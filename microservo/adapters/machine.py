"""What the machine is that a run takes place on: no names of people, no paths, and of its own name a hash."""

from __future__ import annotations

import hashlib
import os
import platform
import time
from pathlib import Path

import psutil

from schemas.records import RunMachine

_CLOCK_SOURCE = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
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


def clock_difference_us() -> int:
    """How far the wall clock is ahead of one that nobody sets; how it changes tells that one was set."""
    return (time.time_ns() - time.monotonic_ns()) // 1_000


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError:
        return ""
