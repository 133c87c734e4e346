"""thread-leak: each request leaves a thread behind that waits for ever, as many as are allowed."""

from __future__ import annotations

import threading
from typing import ClassVar

from services.workload.faults.base import FaultSite, fault
from services.workload.faults.parameters import Parameters
from services.workload.request import Request


@fault
class ThreadLeak:
    """Parameters: `most` (threads in all, 1..1000)."""

    kind: ClassVar[str] = "thread-leak"

    def __init__(self, fault_id: str, parameters: Parameters, site: FaultSite) -> None:
        self._most = parameters.integer("most", low=1, high=1000)
        self._fault_id = fault_id
        self._beginnings = site.hooks.beginnings
        self._release = threading.Event()
        self._threads: list[threading.Thread] = []

    @property
    def acted(self) -> int:
        return len(self._threads)

    async def apply(self) -> str:
        self._beginnings[self._fault_id] = self._lose
        return f"each request loses a thread, {threading.active_count()} run"

    async def recover(self) -> str:
        self._beginnings.pop(self._fault_id, None)
        self._release.set()
        for thread in self._threads:
            thread.join()
        return f"{len(self._threads)} threads have ended, {threading.active_count()} run"

    async def _lose(self, _: Request) -> None:
        if len(self._threads) >= self._most:
            return
        # None of them holds up the end of the process.
        thread = threading.Thread(target=self._release.wait, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # The machine allows no more; those there are go on waiting.
            return
        self._threads.append(thread)
