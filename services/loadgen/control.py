"""The control port of the load generator: the rate, the places of users, faults, health, metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from microservo.errors import InvalidInput
from microservo.platforms.local.control import control_application, json_object
from services.loadgen.faults import LoadFaults
from services.loadgen.pace import Pace
from services.loadgen.places import UserPlaces

_EXAMPLE = '{"journeys_per_s": 8}'


def control_of_users(
    pace: Pace,
    places: UserPlaces,
    metrics_text: Callable[[], str],
    *,
    token: str,
    clock: Callable[[], int],
) -> ASGIApp:
    """The control API of faults (`microservo.platforms.local.control`), and rate and places beside it.

    Args:
        pace: of the users.
        places: of the users.
        metrics_text: the page of /metrics, in Prometheus' text format.
        token: what callers must show, but for /healthz and /metrics.
        clock: epoch microseconds UTC.
    """

    async def put_rate(request: Request) -> Response:
        pace.change(_rate(await json_object(request, _EXAMPLE)))
        return JSONResponse({"journeys_per_s": pace.rate})

    async def get_rate(_: Request) -> Response:
        return JSONResponse({"journeys_per_s": pace.rate})

    async def put_places(request: Request) -> Response:
        places.change(await json_object(request, "the places of users"))
        return JSONResponse(places.listing())

    async def get_places(_: Request) -> Response:
        return JSONResponse(places.listing())

    routes = [
        Route("/rate", put_rate, methods=["PUT"]),
        Route("/rate", get_rate),
        Route("/places", put_places, methods=["PUT"]),
        Route("/places", get_places),
    ]
    faults = LoadFaults(pace, clock)
    return control_application(faults, metrics_text, token=token, clock=clock, beside=routes)


def _rate(body: Mapping[str, object]) -> float:
    value = body.get("journeys_per_s")
    if isinstance(value, bool) or not isinstance(value, int | float):
        msg = f"the rate {value!r} is no number; send {_EXAMPLE}"
        raise InvalidInput(msg)
    return float(value)
