"""cpu-hog: threads that burn this instance's processor time and hold its interpreter lock.

Threads rather than processes: they are counted with the instance, freeze and die with it, and every wake-up
of the serving thread waits for the lock, so requests slow down even where cores are idle. Together they take
at most one core; more workers make requests wait longer.
"""

from __future__ import annotations

import asyncio
import threading
import time
from typing import ClassVar

from services.workload.faults.base import FaultSite, fault
from services.workload.faults.parameters import Parameters
from services.workload.work import burn

_PERIOD_S = 0.1
_MEASURE_S = 0.1
_JOIN_S = 10.0


@fault
class CpuHog:
    """Parameters: `workers` (threads, 1..64), `load_ratio` (busy share of each one's time, 0..1)."""

    kind: ClassVar[str] = "cpu-hog"
    acted = None

    def __init__(self, fault_id: str, parameters: Parameters, site: FaultSite) -> None:
        self._workers = parameters.integer("workers", low=1, high=64)
        self._load_ratio = parameters.number("load_ratio", low=0.0, high=1.0)
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    async def apply(self) -> str:
        started = [threading.Event() for _ in range(self._workers)]
        self._threads = [
            threading.Thread(target=self._burn, args=(event,), daemon=True, name="worker")
            for event in started
        ]
        for thread in self._threads:
            thread.start()
        await asyncio.to_thread(_wait_all, started)
        return f"{self._workers} threads busy, {await _cores_used():.2f} cores used"

    async def recover(self) -> str:
        self._stop.set()
        await asyncio.to_thread(self._join)
        return f"{self._workers} threads ended, {await _cores_used():.2f} cores used"

    def _burn(self, started: threading.Event) -> None:
        busy_s = _PERIOD_S * self._load_ratio
        while not self._stop.is_set():
            next_s = time.monotonic() + _PERIOD_S
            burn_until(time.monotonic() + busy_s, self._stop)
            started.set()
            if self._load_ratio < 1.0:
                self._stop.wait(max(0.0, next_s - time.monotonic()))

    def _join(self) -> None:
        for thread in self._threads:
            thread.join(_JOIN_S)


def burn_until(end_s: float, stop: threading.Event) -> None:
    """Burns until the monotonic clock reads `end_s` or `stop` is set."""
    while time.monotonic() < end_s and not stop.is_set():
        burn(0.001)


def _wait_all(events: list[threading.Event]) -> None:
    for event in events:
        event.wait(_JOIN_S)


async def _cores_used() -> float:
    """Processor time of this process per second, over a short while."""
    cpu_s, wall_s = time.process_time(), time.monotonic()
    await asyncio.sleep(_MEASURE_S)
    return (time.process_time() - cpu_s) / (time.monotonic() - wall_s)
