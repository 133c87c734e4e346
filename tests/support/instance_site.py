"""What an instance has that faults act on, without the instance: for tests of its faults."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import aiohttp
from opentelemetry.trace import Span

from microservo.adapters.opentelemetry_sdk import Instrumentation
from microservo.domain.faults.catalogue import KINDS
from microservo.domain.topology import Endpoint, Heap
from microservo.platforms.local.peers import Peers
from services.workload.active_faults import WorkloadFaults
from services.workload.cache import Caches
from services.workload.calls import Caller
from services.workload.clock import InstanceClock
from services.workload.core import SharedCore
from services.workload.database import Database
from services.workload.faults.base import FaultSite
from services.workload.heap import GarbageHeap
from services.workload.hooks import Hooks
from services.workload.outgoing import Outgoing
from services.workload.request import Request
from services.workload.volume import Volume

NOWHERE = "http://127.0.0.1:1"


@contextmanager
def site_in(folder: Path, *, callees: Collection[str] = ("back",)) -> Iterator[FaultSite]:
    """What an instance with the endpoints Get and Set has, its disk in a folder; nobody makes its calls."""
    endpoints = {name: Endpoint(name=name) for name in ("Get", "Set")}
    caches, volume = Caches(endpoints.values()), Volume(folder / "data")
    telemetry = Instrumentation(service="back", instance="back-0", otlp_url=NOWHERE)
    # A session needs a loop, and none is used.
    outgoing = Outgoing()
    caller = Caller(
        Peers({}), cast("aiohttp.ClientSession", None), telemetry, random.Random(7), outgoing=outgoing
    )
    heap = GarbageHeap(Heap(garbage_kb=64, collect_mb=4))
    try:
        yield FaultSite(
            seed="7/back-0",
            endpoints=frozenset(endpoints),
            callees=frozenset(callees),
            hooks=Hooks(),
            core=SharedCore(),
            clock=InstanceClock(),
            telemetry=telemetry,
            caller=caller,
            outgoing=outgoing,
            caches=caches,
            heap=heap,
            volume=volume,
            database=Database(volume, caches.rows),
        )
    finally:
        telemetry.shutdown(0.1)
        heap.close()
        volume.close()


GET = Endpoint(name="Get")
REQUEST = Request(endpoint=GET, id="1.0", key="user-7", span=cast("Span", None), deadline_us=None)


Act = Callable[[], Awaitable[None]]


def during(site: FaultSite, kind: str, act: Act, **given: str) -> int | None:
    """Does something while a fault is in force, as people write it; how much the fault acted on."""

    async def life() -> int | None:
        faults = WorkloadFaults(site)
        await faults.apply("f1", *KINDS[kind].from_text({**KINDS[kind].strong, **given}).wire())
        try:
            await act()
        finally:
            recovered = await faults.recover("f1")
        assert recovered is not None
        assert recovered.evidence
        assert faults.listing() == []
        return recovered.acted

    return asyncio.run(life())


async def use(site: FaultSite, key: str = "user-7") -> None:
    """What each request does with the database, its row not in the cache."""
    site.caches.rows.drop(f"Get/{key}")
    await site.database.find("Get", key)
    await site.database.put("Get", key, b"row")


async def begin(site: FaultSite, times: int) -> None:
    """What some requests begin with."""
    for _ in range(times):
        for beginning in site.hooks.beginnings.values():
            await beginning(REQUEST)


async def taken_s(what: Awaitable[object]) -> float:
    """How long it takes."""
    began_s = time.monotonic()
    await what
    return time.monotonic() - began_s
