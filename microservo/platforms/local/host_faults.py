"""Faults of hosts and regions, by the process that owns the containers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from microservo.errors import InvalidInput
from microservo.platforms.local.containers import LocalContainers
from microservo.platforms.local.control import Conflict
from microservo.platforms.mechanism import Confirmation

HOST_DOWN, REGION_CUT = "host-down", "region-cut"


@dataclass(frozen=True, slots=True)
class _Active:
    kind: str
    host: str
    confirmed: Confirmation


class HostFaults:
    """`Faults` of the launcher; ids are `FAULT@INSTANCE`, and the instance says which host is meant.

    Args:
        containers: of the launcher.
        clock: epoch microseconds UTC.
    """

    def __init__(self, containers: LocalContainers, clock: Callable[[], int]) -> None:
        self._containers = containers
        self._clock = clock
        self._active: dict[str, _Active] = {}
        self._one_at_a_time = asyncio.Lock()

    async def apply(self, fault_id: str, kind: str, parameters: Mapping[str, object]) -> Confirmation:
        async with self._one_at_a_time:
            known = self._active.get(fault_id)
            if known is not None:
                if known.kind != kind:
                    msg = f"fault {fault_id!r} is in force as {known.kind}; remove it first"
                    raise Conflict(msg)
                return known.confirmed
            if kind not in (HOST_DOWN, REGION_CUT) or parameters:
                msg = f"a launcher can't make {kind!r} with {dict(parameters)}; it can make {_CAN}"
                raise InvalidInput(msg)
            host = self._containers.host_of(fault_id.rpartition("@")[2])
            confirmed = await asyncio.to_thread(self._begin, fault_id, kind, host)
            self._active[fault_id] = _Active(kind, host, confirmed)
            return confirmed

    async def recover(self, fault_id: str) -> Confirmation | None:
        async with self._one_at_a_time:
            ended = self._active.get(fault_id)
            if ended is None:
                return None
            confirmed = await asyncio.to_thread(self._end, fault_id, ended)
            del self._active[fault_id]
            return confirmed

    def listing(self) -> Sequence[Mapping[str, object]]:
        return [
            {
                "id": fault_id,
                "kind": each.kind,
                "parameters": {},
                "applied_at_us": each.confirmed.at_us,
                "acted": None,
            }
            for fault_id, each in self._active.items()
        ]

    def _begin(self, fault_id: str, kind: str, host: str) -> Confirmation:
        began_us = self._clock()
        if kind == HOST_DOWN:
            count = self._containers.fail_host(host, fault_id)
            return self._confirmed(began_us, f"host {host} is down, and {count} containers with it")
        region, count = self._containers.cut_region(host, fault_id)
        return self._confirmed(began_us, f"{region} is cut off at {count} sidecars")

    def _end(self, fault_id: str, ended: _Active) -> Confirmation:
        began_us = self._clock()
        if ended.kind == HOST_DOWN:
            what = "is up again" if self._containers.mend_host(ended.host, fault_id) else "stays down"
            return self._confirmed(began_us, f"host {ended.host} {what}")
        count = self._containers.mend_region(fault_id)
        return self._confirmed(began_us, f"the region is reached again at {count} sidecars")

    def _confirmed(self, began_us: int, evidence: str) -> Confirmation:
        at_us = self._clock()
        return Confirmation(at_us=at_us, evidence=evidence, within_us=at_us - began_us)


_CAN = f"{HOST_DOWN} and {REGION_CUT}, without parameters"
