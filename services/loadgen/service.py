"""Builds the load generator and runs it until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator

import aiohttp

from microservo.adapters.clock import now_us
from microservo.adapters.opentelemetry_sdk import Instrumentation, prometheus_text
from microservo.domain.topology import Topology
from microservo.platforms.local.peers import LOOK_S, FollowedPeers, Peers
from microservo.platforms.local.request_headers import CALLER
from microservo.platforms.local.topology_files import read_topology
from microservo.runtime.http import listen, serve
from services.loadgen.control import control_of_users
from services.loadgen.curve import LoadCurve
from services.loadgen.handlers import JourneyHandler
from services.loadgen.pace import Pace
from services.loadgen.places import UserPlaces
from services.loadgen.schedule import Arrival, arrivals
from services.loadgen.settings import Settings
from services.loadgen.tally import Tally, report

_NAME = "loadgen"
_FLUSH_S = 1.0
_LATEST_S = 1.0
"""A journey that can't begin within so long after it is due is not made."""


def run(settings: Settings) -> None:
    """Generates load until SIGTERM or SIGINT, then stops within two seconds.

    Raises:
        InvalidInput: the topology can't be used or has no journeys, the rate is out of bounds, or the
            place of users is none.
    """
    topology = read_topology(settings.topology)
    coming = arrivals(topology.journeys, settings.seed)
    telemetry = Instrumentation(
        service=_NAME, instance=f"{_NAME}-0", otlp_url=settings.otlp, kind="load_generator"
    )
    try:
        asyncio.run(_serve(settings, topology, coming, telemetry))
    finally:
        telemetry.shutdown(_FLUSH_S)


async def _serve(
    settings: Settings, topology: Topology, coming: Iterator[Arrival], telemetry: Instrumentation
) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    tally, pace = Tally(), Pace(settings.rate, LoadCurve(topology.load, settings.seed))
    places = UserPlaces(settings.place, settings.seed)
    report(tally, lambda: pace.current, telemetry)
    app = control_of_users(
        pace, places, lambda: prometheus_text(tally.values()), token=settings.control_token, clock=now_us
    )
    control = asyncio.create_task(serve(app, listen(settings.control_port), stop))
    peers = _peers(settings, topology)
    async with _session() as session:
        handler = JourneyHandler(
            session,
            telemetry,
            tally,
            entry=topology.entry,
            peers=peers,
            place_of=places.of,
            near=places.near,
            timeout_ms=settings.timeout_ms,
        )
        driving = asyncio.create_task(
            drive_once(
                lambda: peers.has(topology.entry),
                coming,
                pace,
                handler,
                tally,
                max_active=settings.max_active,
            )
        )
        await _until_first(stop, driving)
    stop.set()
    await control


def _peers(settings: Settings, topology: Topology) -> Peers:
    if settings.peers is not None:
        return FollowedPeers(settings.peers)
    return Peers({topology.entry: [settings.entry_url.rstrip("/")]})


async def drive_once(
    is_there: Callable[[], bool],
    coming: Iterator[Arrival],
    pace: Pace,
    handler: Callable[[Arrival], Coroutine[None, None, None]],
    tally: Tally,
    *,
    max_active: int,
) -> None:
    """As `drive`, from when there is something to use: services may be launched one after another."""
    while not is_there():
        await asyncio.sleep(LOOK_S)
    pace.begin()
    await drive(coming, pace, handler, tally, max_active=max_active)


async def drive(
    coming: Iterator[Arrival],
    pace: Pace,
    handler: Callable[[Arrival], Coroutine[None, None, None]],
    tally: Tally,
    *,
    max_active: int,
) -> None:
    """Starts each journey when it is due, whether or not earlier ones have ended.

    With `max_active` under way, an arrival is turned away and counted as shed: a system that hangs must not
    fill this process. So is one that is long overdue, where this process got no processor time: what was
    missed must not come all at once.
    """
    async with asyncio.TaskGroup() as journeys:
        for arrival in coming:
            await pace.wait(arrival.gap)
            if tally.active >= max_active or pace.late_s > _LATEST_S:
                tally.shed += 1
                continue
            tally.journeys += 1
            tally.active += 1
            journeys.create_task(handler(arrival)).add_done_callback(lambda _: _leave(tally))


def _leave(tally: Tally) -> None:
    tally.active -= 1


def _session() -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=0, use_dns_cache=False)
    return aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), headers={CALLER: _NAME}
    )


async def _until_first(stop: asyncio.Event, driving: asyncio.Task[None]) -> None:
    """Ends the driving when `stop` is set; an error of the driving is raised here."""
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({stopping, driving}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    driving.cancel()
    await asyncio.wait({stopping, driving})
    if not driving.cancelled():
        driving.result()
