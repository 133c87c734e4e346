"""The faults that are active in this instance."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from microservo.adapters.clock import now_us
from microservo.domain.modules import import_modules
from microservo.errors import InvalidInput
from microservo.platforms.local.control import Conflict
from microservo.platforms.mechanism import Confirmation
from services.workload import faults
from services.workload.faults.base import KINDS, Fault, FaultSite
from services.workload.faults.parameters import Parameters

import_modules(faults.__name__, faults.__path__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Active:
    """A fault in force."""

    kind: str
    parameters: Mapping[str, object]
    fault: Fault
    confirmed: Confirmation


class WorkloadFaults:
    """`Faults` of an instance: one is applied or recovered at a time; the effects of several add up."""

    def __init__(self, site: FaultSite, clock: Callable[[], int] = now_us) -> None:
        self._site = site
        self._clock = clock
        self._active: dict[str, _Active] = {}
        self._turn = asyncio.Lock()

    async def apply(self, fault_id: str, kind: str, parameters: Mapping[str, object]) -> Confirmation:
        async with self._turn:
            active = self._active.get(fault_id)
            if active is None:
                active = self._active[fault_id] = await self._put_in_force(fault_id, kind, parameters)
            elif (active.kind, active.parameters) != (kind, parameters):
                msg = f"fault {fault_id} is in force as {active.kind} {active.parameters}; recover it first"
                raise Conflict(msg)
            return active.confirmed

    async def recover(self, fault_id: str) -> Confirmation | None:
        async with self._turn:
            active = self._active.get(fault_id)
            if active is None:
                return None
            began_us = self._clock()
            evidence = await active.fault.recover()
            del self._active[fault_id]
            return self._confirmed(began_us, evidence, active.fault)

    async def recover_all(self) -> None:
        for fault_id in list(self._active):
            await self.recover(fault_id)

    def listing(self) -> list[dict[str, object]]:
        return [
            {
                "id": fault_id,
                "kind": active.kind,
                "parameters": dict(active.parameters),
                "applied_at_us": active.confirmed.at_us,
                "acted": active.fault.acted,
            }
            for fault_id, active in self._active.items()
        ]

    async def _put_in_force(self, fault_id: str, kind: str, parameters: Mapping[str, object]) -> _Active:
        if kind not in KINDS:
            msg = f"kind {kind!r} is not carried in-process; choose one of {sorted(KINDS)}"
            raise InvalidInput(msg)
        reader = Parameters(kind, parameters)
        fault = KINDS[kind](fault_id, reader, self._site)
        reader.refuse_leftovers()
        began_us = self._clock()
        evidence = await fault.apply()
        confirmed = self._confirmed(began_us, evidence, fault)
        return _Active(kind=kind, parameters=parameters, fault=fault, confirmed=confirmed)

    def _confirmed(self, began_us: int, evidence: str, fault: Fault) -> Confirmation:
        """That something took effect now, and not before `began_us`."""
        at_us = self._clock()
        return Confirmation(at_us=at_us, evidence=evidence, within_us=at_us - began_us, acted=fault.acted)
