"""The control port of the load generator: the rate, health, metrics."""

from __future__ import annotations

import json
from collections.abc import Callable

from aiohttp import web

from microservo.errors import InvalidInput
from services.loadgen.pace import Pace


def control_application(pace: Pace, metrics_text: Callable[[], str]) -> web.Application:
    """The routes of the control port."""

    async def put_rate(request: web.Request) -> web.Response:
        try:
            pace.change(_rate(await request.text()))
        except InvalidInput as error:
            return web.json_response({"error": str(error)}, status=422)
        return web.json_response({"journeys_per_s": pace.rate})

    async def get_rate(_: web.Request) -> web.Response:
        return web.json_response({"journeys_per_s": pace.rate})

    async def health(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(text=metrics_text())

    application = web.Application()
    application.add_routes(
        [
            web.put("/rate", put_rate),
            web.get("/rate", get_rate),
            web.get("/healthz", health),
            web.get("/metrics", metrics),
        ]
    )
    return application


def _rate(text: str) -> float:
    try:
        value = json.loads(text)["journeys_per_s"]
    except (ValueError, KeyError, TypeError):
        value = None
    if isinstance(value, bool) or not isinstance(value, int | float):
        msg = f'the body {text[:80]!r} has no rate; send {{"journeys_per_s": 8}}'
        raise InvalidInput(msg)
    return float(value)
