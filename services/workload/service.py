"""Builds one instance and runs it until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import random
import signal
from dataclasses import dataclass

import aiohttp
from aiohttp import web
from starlette.types import ASGIApp

from microservo.adapters.clock import now_us
from microservo.adapters.opentelemetry_sdk import Instrumentation, prometheus_text
from microservo.domain.topology import Service
from microservo.errors import InvalidInput
from microservo.platforms.local.control import control_application
from microservo.platforms.local.request_headers import CALLER
from microservo.platforms.local.topology_files import read_topology
from microservo.runtime.http import LOOPBACK, listen, serve
from services.workload.active_faults import WorkloadFaults
from services.workload.cache import Caches
from services.workload.calls import Caller, read_peers
from services.workload.core import SharedCore, pin
from services.workload.faults.base import FaultSite
from services.workload.handlers import RequestHandler, Spoiler
from services.workload.heap import GarbageHeap
from services.workload.outgoing import Outgoing
from services.workload.settings import Settings
from services.workload.traffic import Traffic, report
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
    service = _service(settings)
    ballast = Ballast(int(service.memory_mb * 2**20))
    for _ in ballast.fill():
        pass
    telemetry = Instrumentation(service=service.name, instance=settings.instance, otlp_url=settings.otlp)
    try:
        asyncio.run(_serve(settings, service, telemetry))
    finally:
        telemetry.shutdown(_FLUSH_S)
        ballast.release()


def _service(settings: Settings) -> Service:
    services = read_topology(settings.topology).services
    if settings.service not in services:
        msg = f"{settings.topology} has no service {settings.service!r}; choose one of {sorted(services)}"
        raise InvalidInput(msg)
    return services[settings.service]


async def _serve(settings: Settings, service: Service, telemetry: Instrumentation) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    connector = aiohttp.TCPConnector(limit=0, use_dns_cache=False)
    async with aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), headers={CALLER: service.name}
    ) as session:
        instance = _build(settings, service, telemetry, session)
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
    settings: Settings, service: Service, telemetry: Instrumentation, session: aiohttp.ClientSession
) -> _Instance:
    seed = f"{settings.seed}/{settings.instance}"
    traffic, caches = Traffic(), Caches(service.endpoints.values())
    spoilers: dict[str, Spoiler] = {}
    outgoing = Outgoing()
    handler = RequestHandler(
        service,
        Caller(
            read_peers(settings.peers), session, telemetry, random.Random(f"{seed}/calls"), outgoing=outgoing
        ),
        telemetry,
        traffic=traffic,
        caches=caches,
        heap=GarbageHeap(service.heap),
        # Not of the instance: whichever serves a request, the same befalls it.
        seed=f"{settings.seed}/{service.name}",
        spoilers=spoilers,
    )
    report(traffic, caches.hit_ratio, telemetry)
    site = FaultSite(
        seed=seed,
        endpoints=frozenset(service.endpoints),
        spoilers=spoilers,
        core=SharedCore(),
        callees=frozenset(call.service for each in service.endpoints.values() for call in each.all_calls()),
        outgoing=outgoing,
    )
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
