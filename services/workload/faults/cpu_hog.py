"""cpu-hog: child processes of the instance burn its core, and its requests wait for their turn.

Processes rather than threads: what a service competes for is its core, and threads of its own would fight
it for the interpreter's lock, where a request of a millisecond waits for seconds. They belong to the
instance's process group and are counted with the instance; nothing of them is left in it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from typing import ClassVar

from microservo.errors import InvalidInput
from services.workload.faults.base import FaultSite, fault
from services.workload.faults.parameters import Parameters

_PERIOD_S = 0.1
_LOOK_S = 0.002
# The lightest program that every machine has: a megabyte, nearly all of it shared. It counts for about ten
# milliseconds between two looks at its parent: with one that is stopped it waits (/proc, where there is
# one), and without one it ends.
_SHELL = "/bin/sh"
_BURN = """
exec 2>/dev/null
while kill -0 $PPID; do
  { read -r state < /proc/$PPID/stat; } && case $state in *') T '*) sleep 0.02; continue ;; esac
  left=10000
  while [ $left -gt 0 ]; do left=$((left - 1)); done
done
"""


@fault
class CpuHog:
    """Parameters: `workers` (processes, 1..64), `load_ratio` (busy share of each one's time, 0..1)."""

    kind: ClassVar[str] = "cpu-hog"
    acted = None

    def __init__(self, fault_id: str, parameters: Parameters, site: FaultSite) -> None:
        self._workers = parameters.integer("workers", low=1, high=64)
        self._load_ratio = parameters.number("load_ratio", low=0.0, high=1.0)
        self._core = site.core
        self._processes: list[subprocess.Popen[bytes]] = []
        self._turns: asyncio.Task[None] | None = None

    async def apply(self) -> str:
        self._core.enter()
        try:
            await self._start()
        except OSError as error:
            await self.recover()
            msg = (
                f"{self.kind}: the system refused {self._workers} processes ({error}); ask for fewer workers"
            )
            raise InvalidInput(msg) from error
        if self._load_ratio < 1.0:
            self._turns = asyncio.create_task(self._take_turns())
        return f"{self._workers} processes burn, each {self._load_ratio:.0%} of its time"

    async def recover(self) -> str:
        if self._turns is not None:
            self._turns.cancel()
        self._signal(signal.SIGKILL)
        while any(process.poll() is None for process in self._processes):
            await asyncio.sleep(_LOOK_S)
        self._core.leave()
        return f"{len(self._processes)} processes have ended"

    async def _start(self) -> None:
        for _ in range(self._workers):
            self._processes.append(_burning_process())
            # Many take a while, and requests go on meanwhile.
            await asyncio.sleep(0)

    async def _take_turns(self) -> None:
        busy_s = _PERIOD_S * self._load_ratio
        while True:
            await asyncio.sleep(busy_s)
            self._signal(signal.SIGSTOP)
            await asyncio.sleep(_PERIOD_S - busy_s)
            self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for process in self._processes:
            process.send_signal(number)


def _burning_process() -> subprocess.Popen[bytes]:
    """A process that burns from when this returns."""
    return subprocess.Popen(
        [_SHELL, "-c", _BURN],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"PATH": os.defpath},
        cwd=os.path.sep,
    )
