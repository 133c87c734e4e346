"""Builds one instance and runs it until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import random
import signal
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web
from starlette.types import ASGIApp

from microservo.adapters.clock import now_us
from microservo.adapters.opentelemetry_sdk import Instrumentation, prometheus_text
from microservo.domain.topology import Service
from microservo.errors import InvalidInput
from microservo.platforms.local.control import control_application
from microservo.platforms.local.peers import FollowedPeers, Vicinity
from microservo.platforms.local.request_headers import caller_headers
from microservo.platforms.local.topology_files import read_topology
from microservo.runtime.http import LOOPBACK, listen, serve
from services.workload.active_faults import WorkloadFaults
from services.workload.cache import Caches
from services.workload.calls import Caller
from services.workload.clock import InstanceClock
from services.workload.core import SharedCore, limit_open_files, pin
from services.workload.database import Database
from services.workload.faults.base import FaultSite
from services.workload.handlers import RequestHandler
from services.workload.heap import GarbageHeap
from services.workload.hooks import Hooks
from services.workload.outgoing import Outgoing
from services.workload.settings import Settings
from services.workload.traffic import Traffic, report
from services.workload.volume import Volume
from services.workload.work import Ballast

_DRAIN_S = 0.3
_FLUSH_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Instance:
    """What serves: the requests, and the control API."""

    requests: web.ServerRunner
    control: ASGIApp
    faults: WorkloadFaults


def run(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT, then stops within two seconds.

    Raises:
        InvalidInput: the topology or the peers can't be used, or it has no such service.
    """
    # Before any thread is started, for those inherit it.
    pin(settings.core)
    limit_open_files()
    service = _service(settings)
    ballast = Ballast(int(service.memory_mb * 2**20))
    for _ in ballast.fill():
        pass
    clock, volume = InstanceClock(), Volume(settings.data)
    telemetry = Instrumentation(
        service=service.name, instance=settings.instance, otlp_url=settings.otlp, clock_ns=clock.now_ns
    )
    try:
        asyncio.run(_serve(settings, service, telemetry, clock, volume))
    finally:
        telemetry.shutdown(_FLUSH_S)
        volume.close()
        ballast.release()


def _service(settings: Settings) -> Service:
    services = read_topology(settings.topology).services
    if settings.service not in services:
        msg = f"{settings.topology} has no service {settings.service!r}; choose one of {sorted(services)}"
        raise InvalidInput(msg)
    return services[settings.service]


class _LoopErrors:
    """Tells of what the loop can't do, at most once a second.

    A loop that may open no more files tries, and complains of, as many connections a second as may wait.
    """

    def __init__(self, telemetry: Instrumentation) -> None:
        self._telemetry = telemetry
        self._next_s = 0.0

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if loop.time() >= self._next_s:
            self._next_s = loop.time() + 1.0
            error = context.get("exception")
            self._telemetry.log("ERROR", f"{context['message']}: {error}", exception=error)


async def _serve(
    settings: Settings, service: Service, telemetry: Instrumentation, clock: InstanceClock, volume: Volume
) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().set_exception_handler(_LoopErrors(telemetry))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    connector = aiohttp.TCPConnector(limit=0, use_dns_cache=False)
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=caller_headers(service.name, settings.place),
    ) as session:
        instance = _build(settings, service, telemetry, session, clock=clock, volume=volume)
        await instance.requests.setup()
        await web.TCPSite(instance.requests, LOOPBACK, settings.port).start()
        # Last, so that a healthy answer means that requests are served.
        control = asyncio.create_task(serve(instance.control, listen(settings.control_port), stop))
        telemetry.log("INFO", f"{settings.instance} is ready")
        await stop.wait()
        telemetry.log("INFO", f"{settings.instance} is stopping")
        # Faults first: a hog would slow the rest of the way out.
        await instance.faults.recover_all()
        await instance.requests.cleanup()
        await control


def _build(
    settings: Settings,
    service: Service,
    telemetry: Instrumentation,
    session: aiohttp.ClientSession,
    *,
    clock: InstanceClock,
    volume: Volume,
) -> _Instance:
    seed = f"{settings.seed}/{settings.instance}"
    traffic, caches = Traffic(), Caches(service.endpoints.values())
    peers = FollowedPeers.of(settings.peers, Vicinity(settings.host, settings.regions))
    chance = random.Random(f"{seed}/calls")
    outgoing = Outgoing()
    site = FaultSite(
        seed=seed,
        endpoints=frozenset(service.endpoints),
        callees=frozenset(call.service for each in service.endpoints.values() for call in each.all_calls()),
        hooks=Hooks(),
        core=SharedCore(),
        clock=clock,
        telemetry=telemetry,
        caller=Caller(peers, session, telemetry, chance, outgoing=outgoing, clock=clock.now_us),
        outgoing=outgoing,
        caches=caches,
        heap=GarbageHeap(service.heap),
        volume=volume,
        database=Database(volume, caches.rows),
    )
    handler = RequestHandler(
        service,
        site.caller,
        telemetry,
        traffic=traffic,
        caches=caches,
        heap=site.heap,
        database=site.database,
        # Not of the instance: whichever serves a request, the same befalls it.
        seed=f"{settings.seed}/{service.name}",
        hooks=site.hooks,
        clock=clock.now_us,
    )
    report(traffic, caches.hit_ratio, site.database.pool, volume, telemetry)
    faults = WorkloadFaults(site)
    control = control_application(
        faults, lambda: prometheus_text(traffic.values()), token=settings.control_token, clock=now_us
    )
    return _Instance(
        # What nobody waits for any more is given up: else an overload would feed itself.
        requests=web.ServerRunner(web.Server(handler, handler_cancellation=True), shutdown_timeout=_DRAIN_S),
        control=control,
        faults=faults,
    )
