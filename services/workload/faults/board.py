"""The faults that are active in this instance."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from microservo.errors import InvalidInput
from services.workload.faults import Fault, FaultSite
from services.workload.faults.app_exception import AppException
from services.workload.faults.cpu_hog import CpuHog
from services.workload.faults.memory_hog import MemoryHog
from services.workload.faults.parameters import Parameters

KINDS: Mapping[str, Callable[[str, Parameters, FaultSite], Fault]] = {
    kind.kind: kind for kind in (CpuHog, MemoryHog, AppException)
}


class Conflict(InvalidInput):
    """An active fault has this id and another body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveFault:
    """A fault in force since `applied_at_us`."""

    kind: str
    parameters: Mapping[str, object]
    fault: Fault
    applied_at_us: int
    evidence: str


class FaultBoard:
    """Applies and recovers faults, one at a time; several may be active, and their effects add up."""

    def __init__(self, site: FaultSite) -> None:
        self._site = site
        self._active: dict[str, ActiveFault] = {}
        self._turn = asyncio.Lock()

    async def apply(self, fault_id: str, kind: str, parameters: Mapping[str, object]) -> ActiveFault:
        """Puts a fault in force; asking again for the same changes nothing and answers the same.

        Raises:
            Conflict: the id is in force with another kind or other parameters.
            InvalidInput: unknown kind or bad parameters; nothing was touched.
        """
        async with self._turn:
            active = self._active.get(fault_id)
            if active is None:
                active = self._active[fault_id] = await self._put_in_force(fault_id, kind, parameters)
            elif (active.kind, active.parameters) != (kind, parameters):
                msg = f"fault {fault_id} is in force as {active.kind} {active.parameters}; recover it first"
                raise Conflict(msg)
            return active

    async def recover(self, fault_id: str) -> tuple[int, str]:
        """Takes a fault out of force; gives the instant in epoch microseconds and the evidence."""
        async with self._turn:
            active = self._active.get(fault_id)
            if active is None:
                return _now_us(), "was not active"
            evidence = await active.fault.recover()
            del self._active[fault_id]
            return _now_us(), evidence

    async def recover_all(self) -> None:
        for fault_id in list(self._active):
            await self.recover(fault_id)

    def listing(self) -> list[dict[str, object]]:
        """The active faults as the control port shows them."""
        return [
            {
                "id": fault_id,
                "kind": active.kind,
                "parameters": dict(active.parameters),
                "applied_at_us": active.applied_at_us,
            }
            for fault_id, active in self._active.items()
        ]

    async def _put_in_force(self, fault_id: str, kind: str, parameters: Mapping[str, object]) -> ActiveFault:
        if kind not in KINDS:
            msg = f"kind {kind!r} is not carried in-process; choose one of {sorted(KINDS)}"
            raise InvalidInput(msg)
        reader = Parameters(kind, parameters)
        fault = KINDS[kind](fault_id, reader, self._site)
        reader.refuse_leftovers()
        evidence = await fault.apply()
        return ActiveFault(
            kind=kind, parameters=parameters, fault=fault, applied_at_us=_now_us(), evidence=evidence
        )


def _now_us() -> int:
    return time.time_ns() // 1000
