"""What an instance has that faults act on, without the instance: for tests of its faults."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import aiohttp

from microservo.adapters.opentelemetry_sdk import Instrumentation
from microservo.domain.topology import Endpoint, Heap
from services.workload.cache import Caches
from services.workload.calls import Caller
from services.workload.clock import InstanceClock
from services.workload.core import SharedCore
from services.workload.database import Database
from services.workload.faults.base import FaultSite
from services.workload.heap import GarbageHeap
from services.workload.hooks import Hooks
from services.workload.volume import Volume

NOWHERE = "http://127.0.0.1:1"


@contextmanager
def site_in(folder: Path, *, callees: Collection[str] = ("back",)) -> Iterator[FaultSite]:
    """What an instance with the endpoints Get and Set has, its disk in a folder; nobody makes its calls."""
    endpoints = {name: Endpoint(name=name) for name in ("Get", "Set")}
    caches, volume = Caches(endpoints.values()), Volume(folder / "data")
    telemetry = Instrumentation(service="back", instance="back-0", otlp_url=NOWHERE)
    # A session needs a loop, and none is used.
    caller = Caller({}, cast("aiohttp.ClientSession", None), telemetry, random.Random(7))
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
            caches=caches,
            heap=heap,
            volume=volume,
            database=Database(volume, caches.rows),
        )
    finally:
        telemetry.shutdown(0.1)
        heap.close()
        volume.close()
