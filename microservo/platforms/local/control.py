"""The control API of a process of the target: faults in and out, health, metrics.

::

    PUT    /faults/ID  {"kind": ..., "parameters": {...}}  ->  {"applied_at_us": ..., ...}
    DELETE /faults/ID                                      ->  {"recovered_at_us": ..., ...}
    GET    /faults                                         ->  {"faults": [...]}
    GET    /healthz, /metrics                                  for everybody

Beside the instant an answer has `within_us`, `acted` and `evidence`, as
`microservo.platforms.mechanism.Confirmation` says.

Asked again, it answers with the first instant: who got no answer to a request that worked, since the process
was paused, learns when it took effect, not when it was repeated.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from microservo.domain.remembered import Remembered
from microservo.errors import InvalidInput
from microservo.platforms.mechanism import Confirmation
from microservo.runtime.http import guarded

MAX_BODY_BYTES = 65_536
_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Conflict(InvalidInput):
    """A fault that is in force has this id, and another kind or other parameters."""


class Faults(Protocol):
    """The faults of one process, by id; called from one event loop."""

    async def apply(self, fault_id: str, kind: str, parameters: Mapping[str, object]) -> Confirmation:
        """Puts a fault in force; again for the same changes nothing and answers the same.

        Raises:
            Conflict: the id is in force with another kind or other parameters.
            InvalidInput: unknown kind, bad parameters, or more than can be carried; nothing was touched.
        """

    async def recover(self, fault_id: str) -> Confirmation | None:
        """Takes a fault out of force; None when there is none of that id."""

    def listing(self) -> Sequence[Mapping[str, object]]:
        """Those in force: `id`, `kind`, `parameters`, `applied_at_us`, and by now `acted` of each."""


def control_application(
    faults: Faults,
    metrics_text: Callable[[], str],
    *,
    token: str,
    clock: Callable[[], int],
    beside: Sequence[Route] = (),
) -> ASGIApp:
    """The control API.

    Args:
        faults: what it controls.
        metrics_text: the page of /metrics, in Prometheus' text format.
        token: what callers must show, but for /healthz and /metrics.
        clock: epoch microseconds UTC.
        beside: further routes, behind the token too.
    """
    control = _Control(faults, clock)
    routes = [
        Route("/faults", control.listing, methods=["GET"]),
        Route("/faults/{fault_id}", control.apply, methods=["PUT"]),
        Route("/faults/{fault_id}", control.recover, methods=["DELETE"]),
        *beside,
    ]
    return application(routes, metrics_text, token=token)


def application(routes: Sequence[Route], metrics_text: Callable[[], str], *, token: str) -> ASGIApp:
    """An application of these routes with health, metrics and refusals in JSON, behind a token."""

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def metrics(_: Request) -> Response:
        return Response(metrics_text(), media_type=_METRICS_TYPE)

    pages = [*routes, Route("/healthz", health), Route("/metrics", metrics)]
    app = Starlette(
        routes=pages,
        exception_handlers={HTTPException: _http_error, InvalidInput: _refused},
    )
    return guarded(app, token)


async def json_object(request: Request, example: str) -> dict[str, object]:
    """The body of a request, which must be a JSON object.

    Raises:
        InvalidInput: it isn't; `example` says what is expected.
        HTTPException: it is too large.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise HTTPException(413, f"the body is larger than {MAX_BODY_BYTES} bytes")
    try:
        value = json.loads(body)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        msg = f"the body {bytes(body[:80])!r} is no JSON object; send {example}"
        raise InvalidInput(msg)
    return value


class _Control:
    """The routes of faults."""

    def __init__(self, faults: Faults, clock: Callable[[], int]) -> None:
        self._faults = faults
        self._clock = clock
        self._recovered = Remembered[str, Confirmation]()

    async def listing(self, _: Request) -> Response:
        return JSONResponse({"faults": list(self._faults.listing())})

    async def apply(self, request: Request) -> Response:
        fault_id = request.path_params["fault_id"]
        kind, parameters = _fault(await json_object(request, _EXAMPLE))
        confirmed = await self._faults.apply(fault_id, kind, parameters)
        self._recovered.forget(fault_id)
        return _answer("applied_at_us", confirmed)

    async def recover(self, request: Request) -> Response:
        fault_id = request.path_params["fault_id"]
        confirmed = await self._faults.recover(fault_id)
        if confirmed is not None:
            self._recovered[fault_id] = confirmed
        else:
            never = Confirmation(at_us=self._clock(), evidence="was not active")
            confirmed = self._recovered.get(fault_id) or never
        return _answer("recovered_at_us", confirmed)


def _answer(instant: str, confirmed: Confirmation) -> Response:
    return JSONResponse(
        {
            instant: confirmed.at_us,
            "within_us": confirmed.within_us,
            "acted": confirmed.acted,
            "evidence": confirmed.evidence,
        }
    )


_EXAMPLE = '{"kind": "...", "parameters": {...}}'


def _fault(body: Mapping[str, object]) -> tuple[str, Mapping[str, object]]:
    kind, parameters = body.get("kind"), body.get("parameters", {})
    if not isinstance(kind, str) or not isinstance(parameters, dict):
        msg = f"kind {kind!r} with parameters {parameters!r} is no fault; send {_EXAMPLE}"
        raise InvalidInput(msg)
    return kind, parameters


async def _refused(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, status_code=409 if isinstance(error, Conflict) else 422)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    problem = f"{request.method} {request.url.path}: {error.detail}"
    return JSONResponse({"error": problem}, status_code=error.status_code, headers=error.headers)
