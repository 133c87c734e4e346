"""OTLP/HTTP: an ASGI application that reads requests and answers them in their own encoding."""

from __future__ import annotations

import asyncio
import contextlib

from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from microservo.adapters.otlp.answers import RETRY_AFTER_S, Refusal
from microservo.adapters.otlp.media import Media, TooLarge, media_of
from microservo.domain.telemetry import Signal
from microservo.errors import InvalidInput
from microservo.runtime.http import foreign_host
from microservo.runtime.metrics import REQUESTS_TOTAL
from microservo.sources.otlp.bodies import BodyKind, TooManyBodies, kind_of, read_body
from microservo.sources.otlp.intake import Intake, Reply

PATHS: dict[str, Signal] = {"/v1/traces": "traces", "/v1/metrics": "metrics", "/v1/logs": "logs"}


def http_app(intake: Intake, *, checks_host: bool) -> ASGIApp:
    """The application, to be served in one event loop.

    Args:
        intake: where requests go.
        checks_host: whether only requests to this machine by its loopback name are served, so that no web
            page can send; pages of the origins that the limits name can, all the same.
    """
    app = _HttpApp(intake, checks_host=checks_host)
    if not intake.limits.cors_origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=intake.limits.cors_origins,
        allow_methods=("POST",),
        allow_headers=("*",),
        expose_headers=("Retry-After",),
    )


class _HttpApp:
    def __init__(self, intake: Intake, *, checks_host: bool) -> None:
        self._intake = intake
        self._checks_host = checks_host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].rstrip("/")
        with contextlib.suppress(ClientDisconnect):
            reply = await self._answer(scope, Request(scope, receive), PATHS.get(path))
            status = reply.refusal.http_status if reply.refusal else 200
            REQUESTS_TOTAL.labels(path if path in PATHS else "other", str(status)).inc()
            await _response(reply, status)(scope, receive, send)

    async def _answer(self, scope: Scope, request: Request, signal: Signal | None) -> Reply:
        refuse = self._intake.refuse
        media = _media_to_answer_in(request)
        if self._checks_host and (error := foreign_host(scope)) is not None:
            return refuse(Refusal.FOREIGN_HOST, error, media, signal)
        if signal is None:
            text = f"there is nothing at {request.url.path[:80]!r}; send to one of {', '.join(PATHS)}"
            return refuse(Refusal.NOT_FOUND, text, media)
        if request.method != "POST":
            return refuse(Refusal.METHOD, f"method {request.method} is not served; send POST", media, signal)
        try:
            kind = kind_of(request, signal)
        except InvalidInput as error:
            return refuse(Refusal.UNSUPPORTED, str(error), media, signal)
        return self._intake.refused_for_now(signal, media) or await self._accept(request, kind)

    async def _accept(self, request: Request, kind: BodyKind) -> Reply:
        limits = self._intake.limits
        try:
            with self._intake.memory.reserve() as reservation:
                raw = await read_body(request.stream(), kind, limits.body_bytes, reservation)
                until_s = asyncio.get_running_loop().time() + limits.answer_timeout_s
                parcel, reply = await self._intake.decode(kind, raw)
                del raw
        except TooLarge as error:
            return self._intake.refuse(Refusal.UNREAD, str(error), kind.media, kind.signal, close=True)
        except TooManyBodies as error:
            return self._intake.refuse(Refusal.MEMORY_FULL, str(error), kind.media, kind.signal, close=True)
        return await self._intake.deliver(parcel, reply, sender=str(request.client), until_s=until_s)


def _media_to_answer_in(request: Request) -> Media:
    """That of the request; JSON where it is not known: a person with a browser or curl reads that."""
    try:
        return media_of(request.headers.get("content-type", ""))
    except InvalidInput:
        return Media.JSON


def _response(reply: Reply, status: int) -> Response:
    headers = {"Content-Type": reply.media.value}
    if reply.refusal is not None and reply.refusal.is_for_now:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    if reply.refusal is Refusal.METHOD:
        headers["Allow"] = "POST"
    if reply.close:
        headers["Connection"] = "close"
    return Response(reply.body, status_code=status, headers=headers)
