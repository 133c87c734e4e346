"""The control port of an instance: faults in and out, health, metrics. See FaultBoard for the semantics."""

from __future__ import annotations

import json
from collections.abc import Callable

from aiohttp import web

from microservo.errors import InvalidInput
from services.workload.faults.board import Conflict, FaultBoard


def control_application(board: FaultBoard, metrics_text: Callable[[], str]) -> web.Application:
    """The routes of the control port."""

    async def put(request: web.Request) -> web.Response:
        try:
            kind, parameters = _body(await request.text())
            active = await board.apply(request.match_info["id"], kind, parameters)
        except Conflict as error:
            return web.json_response({"error": str(error)}, status=409)
        except InvalidInput as error:
            return web.json_response({"error": str(error)}, status=422)
        return web.json_response({"applied_at_us": active.applied_at_us, "evidence": active.evidence})

    async def delete(request: web.Request) -> web.Response:
        recovered_at_us, evidence = await board.recover(request.match_info["id"])
        return web.json_response({"recovered_at_us": recovered_at_us, "evidence": evidence})

    async def listing(_: web.Request) -> web.Response:
        return web.json_response({"faults": board.listing()})

    async def health(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(text=metrics_text())

    application = web.Application()
    application.add_routes(
        [
            web.put("/faults/{id}", put),
            web.delete("/faults/{id}", delete),
            web.get("/faults", listing),
            web.get("/healthz", health),
            web.get("/metrics", metrics),
        ]
    )
    return application


def _body(text: str) -> tuple[str, dict[str, object]]:
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    if not isinstance(body, dict) or not isinstance(body.get("kind"), str):
        msg = f'the body {text[:80]!r} is not a fault; send {{"kind": "...", "parameters": {{...}}}}'
        raise InvalidInput(msg)
    parameters = body.get("parameters", {})
    if not isinstance(parameters, dict):
        msg = f"parameters {parameters!r} are not an object; send names and values"
        raise InvalidInput(msg)
    return body["kind"], parameters
