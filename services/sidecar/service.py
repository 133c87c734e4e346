"""Wires a sidecar together and runs it until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import TYPE_CHECKING

from starlette.types import ASGIApp

from microservo.adapters.clock import now_us
from microservo.platforms.local.control import control_application
from microservo.runtime.http import listen, serve
from services.sidecar.fault_set import FaultSet
from services.sidecar.handlers import ProxyFaults
from services.sidecar.metrics import render
from services.sidecar.proxy import Proxy
from services.sidecar.settings import SidecarSettings

if TYPE_CHECKING:
    from services.sidecar.distance import Distance

_log = logging.getLogger(__name__)


async def run(settings: SidecarSettings) -> None:
    """Runs the sidecar until SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    proxy = build(settings)
    # The admin port opens last: when it answers, the sidecar is on the path.
    await proxy.listen(settings.listen_port)
    _log.info("on the path of %s: %s", settings.instance, settings)
    await serve(control(proxy, token=settings.control_token), listen(settings.admin_port), stopping)
    await proxy.close()


def build(settings: SidecarSettings) -> Proxy:
    """A proxy that does not listen yet."""
    faults = FaultSet(instance=settings.instance, seed=settings.seed)
    upstream = (settings.upstream_host, settings.upstream_port)
    return Proxy(faults, upstream=upstream, clock=now_us, distance=_distance(settings.place))


def _distance(place: str) -> Distance | None:
    if not place:
        return None
    # Only now: geography needs NumPy, whose memory the many sidecars without a place are spared.
    from services.sidecar.distance import Distance  # noqa: PLC0415

    return Distance(place)


def control(proxy: Proxy, *, token: str) -> ASGIApp:
    """The control API of a proxy."""
    return control_application(ProxyFaults(proxy), lambda: render(proxy), token=token, clock=proxy.clock)
