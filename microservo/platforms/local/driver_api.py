"""The driver's interface over HTTP, served by the process that owns the containers (decision 21).

::

    GET, PUT, DELETE  /hosts[/NAME]                      a `HostPlan`; answers `HostSeen`
    GET, PUT, DELETE  /containers[/ID]?managed_by=TAG    a `ContainerPlan`; answers `ContainerSeen`
                      ...&drain_s=SECONDS                for DELETE; answers `Stopped`

    GET, PUT, DELETE  /faults[/FAULT@INSTANCE]           of hosts, as `microservo.platforms.local.control`

422 says that it can't be (`InvalidInput`), 503 that it can't be now (`Unavailable`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from microservo.domain.documents import problem
from microservo.errors import InvalidInput, Unavailable
from microservo.platforms.driver import ContainerPlan, ContainerSeen, Driver, HostPlan, HostSeen
from microservo.platforms.local.control import Faults, control_application, json_object


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """What `Driver.stop` gives."""

    requests_lost: int | None = None


HOST_PLAN = TypeAdapter(HostPlan)
CONTAINER_PLAN = TypeAdapter(ContainerPlan)
HOSTS = TypeAdapter(Sequence[HostSeen])
CONTAINERS = TypeAdapter(Sequence[ContainerSeen])
STOPPED = TypeAdapter(Stopped)
CONTAINER = TypeAdapter(ContainerSeen)

_NOTHING = b"{}"
_MOST_DRAIN_S = 3600.0
_MOST_STOPS = 64
"""At once; further ones wait for their turn."""
Answer = TypeVar("Answer")


def driver_application(
    driver_of: Callable[[str], Driver], faults: Faults, *, token: str, clock: Callable[[], int]
) -> ASGIApp:
    """The interface as an application.

    Args:
        driver_of: gives the driver of the manager with this tag; hosts belong to all.
        faults: of the hosts.
        token: what callers must show.
        clock: epoch microseconds UTC.
    """
    api = _DriverApi(driver_of)
    routes = [
        Route("/hosts", api.hosts, methods=["GET"]),
        Route("/hosts/{name}", api.start_host, methods=["PUT"]),
        Route("/hosts/{name}", api.stop_host, methods=["DELETE"]),
        Route("/containers", api.containers, methods=["GET"]),
        Route("/containers/{id}", api.launch, methods=["PUT"]),
        Route("/containers/{id}", api.stop, methods=["DELETE"]),
    ]
    return control_application(faults, lambda: "", token=token, clock=clock, beside=routes)


class _DriverApi:
    """The routes; what waits for processes runs on threads beside the event loop."""

    def __init__(self, driver_of: Callable[[str], Driver]) -> None:
        self._driver_of = driver_of
        # Of their own, since they wait for requests in flight: all else must go on meanwhile.
        self._stops = ThreadPoolExecutor(_MOST_STOPS, "stop-container")

    async def hosts(self, _: Request) -> Response:
        return _json(HOSTS.dump_json(await _on_thread(self._driver_of("").hosts)))

    async def start_host(self, request: Request) -> Response:
        plan = await _plan(request, HOST_PLAN)
        _check_path(plan.name, request.path_params["name"])
        await _on_thread(lambda: self._driver_of("").start_host(plan))
        return _json(_NOTHING)

    async def stop_host(self, request: Request) -> Response:
        await _on_thread(lambda: self._driver_of("").stop_host(request.path_params["name"]))
        return _json(_NOTHING)

    async def containers(self, request: Request) -> Response:
        return _json(CONTAINERS.dump_json(await _on_thread(self._driver(request).containers)))

    async def launch(self, request: Request) -> Response:
        driver, plan = self._driver(request), await _plan(request, CONTAINER_PLAN)
        _check_path(plan.id, request.path_params["id"])
        return _json(CONTAINER.dump_json(await _on_thread(lambda: driver.launch(plan))))

    async def stop(self, request: Request) -> Response:
        driver, drain_s = self._driver(request), _drain_s(request)
        lost = await _on_thread(lambda: driver.stop(request.path_params["id"], drain_s), self._stops)
        return _json(STOPPED.dump_json(Stopped(requests_lost=lost)))

    def _driver(self, request: Request) -> Driver:
        tag = request.query_params.get("managed_by", "")
        if not tag:
            msg = "whose containers? add ?managed_by=TAG"
            raise InvalidInput(msg)
        return self._driver_of(tag)


async def _on_thread(act: Callable[[], Answer], threads: ThreadPoolExecutor | None = None) -> Answer:
    try:
        return await asyncio.get_running_loop().run_in_executor(threads, act)
    except Unavailable as error:
        raise HTTPException(503, str(error)) from error


async def _plan(request: Request, plan: TypeAdapter[Answer]) -> Answer:
    body = await json_object(request, "a plan, as microservo.platforms.driver has it")
    try:
        return plan.validate_python(body)
    except ValidationError as error:
        msg = f"the body is no plan ({problem(error)})"
        raise InvalidInput(msg) from error


def _check_path(planned: str, path: str) -> None:
    if planned != path:
        msg = f"the plan is of {planned!r}, the address of {path!r}; send one name in both"
        raise InvalidInput(msg)


def _drain_s(request: Request) -> float:
    text = request.query_params.get("drain_s", "0")
    try:
        drain_s = float(text)
    except ValueError:
        drain_s = -1.0
    if not 0 <= drain_s <= _MOST_DRAIN_S:
        msg = f"drain_s {text!r} is no time; give seconds from 0 to {_MOST_DRAIN_S:g}"
        raise InvalidInput(msg)
    return drain_s


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")
