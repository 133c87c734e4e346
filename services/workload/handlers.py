"""A request in; its work and calls; an answer out."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Callable
from email.utils import formatdate

from aiohttp import web
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from microservo.adapters.clock import now_us
from microservo.adapters.opentelemetry_sdk import Instrumentation
from microservo.domain.topology import Call, Endpoint, Service
from microservo.platforms.local.request_headers import REQUEST_ID, deadline_of
from services.workload.cache import Caches
from services.workload.calls import Caller, CallFailed
from services.workload.database import Database
from services.workload.fate import Fate, fate_of
from services.workload.heap import GarbageHeap
from services.workload.hooks import Hooks
from services.workload.request import Request
from services.workload.traffic import Traffic
from services.workload.work import burn, record_of, render

_PROPAGATOR = TraceContextTextMapPropagator()
_OK = 200
_FAILED = 500
_BUSY = 503
_EXPIRED = 504
_CRASHED = 70
"""Exit code of an instance that its request has ended: EX_SOFTWARE of sysexits.h."""


class RequestHandler:
    """Serves the endpoints of one service.

    An overload must end when its cause does. So what comes beyond `Service.max_active` requests at once is
    turned away, and what nobody waits for any more is not worked on.

    Args:
        seed: of the service; decides with a request's id what befalls it.
        hooks: called for every request.
        clock: what the instance reads: epoch microseconds UTC.
    """

    def __init__(
        self,
        service: Service,
        caller: Caller,
        telemetry: Instrumentation,
        *,
        traffic: Traffic,
        caches: Caches,
        heap: GarbageHeap,
        database: Database,
        seed: str,
        hooks: Hooks,
        clock: Callable[[], int] = now_us,
    ) -> None:
        self._service = service
        self._caller = caller
        self._telemetry = telemetry
        self._traffic = traffic
        self._caches = caches
        self._heap = heap
        self._database = database
        self._seed = seed
        self._hooks = hooks
        self._clock = clock
        self._unnamed = itertools.count()

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serves one request; 404 for an endpoint that the service hasn't."""
        endpoint = self._service.endpoints.get(request.path[1:])
        if endpoint is None:
            return web.Response(status=404, text=f"{self._service.name} has no endpoint {request.path}\n")
        context = _PROPAGATOR.extract(request.headers)
        span = self._telemetry.tracer.start_span(endpoint.name, context, SpanKind.SERVER)
        started_s = time.perf_counter()
        self._traffic.begin()
        status = _FAILED
        try:
            status, body = await self._serve(endpoint, request, span, started_s)
        except asyncio.CancelledError:
            span.set_status(StatusCode.ERROR, "the caller went away")
            raise
        finally:
            self._traffic.end(time.perf_counter() - started_s, failed=status >= _FAILED)
            span.end()
        return web.Response(
            status=status, body=body, headers={"Date": formatdate(self._clock() / 1e6, usegmt=True)}
        )

    async def _serve(
        self, endpoint: Endpoint, request: web.BaseRequest, span: Span, started_s: float
    ) -> tuple[int, bytes]:
        """Status and body of the answer; why it failed is in span and log."""
        served = Request(
            endpoint=endpoint,
            id=request.headers.get(REQUEST_ID) or self._new_id(),
            key=self._key(request),
            span=span,
            deadline_us=deadline_of(request.headers),
        )
        if self._traffic.active > self._service.max_active:
            return self._turn_away(served), b""
        fate = fate_of(endpoint, self._seed, served.id)
        self._warn(fate, served)
        if fate.wait_s:
            await asyncio.sleep(fate.wait_s)
        if fate.outcome == "busy":
            return self._turn_away(served), b""
        if fate.outcome == "reset":
            self._close_connection(request)
            return self._refuse(served, _BUSY, "lost its connection, the worker is recycled"), b""
        if fate.outcome == "crashed":
            # As a program does that can't go on: nothing is drained, and what is buffered is lost.
            os._exit(_CRASHED)
        if served.is_expired(self._clock()):
            return self._refuse(served, _EXPIRED, "given up, its deadline has passed"), b""
        try:
            body = await self._work(served, fate)
        # The boundary of a request: whatever its code raises is a 500, as in any web framework.
        except Exception as error:
            self._fail(endpoint, error, span)
            return _FAILED, b""
        span.set_attribute("http.response.status_code", _OK)
        duration_ms = 1000 * (time.perf_counter() - started_s)
        self._telemetry.log("INFO", f"{endpoint.name} served in {duration_ms:.1f} ms", span)
        return _OK, body

    def _key(self, request: web.BaseRequest) -> str:
        key = request.query.get("key", "")
        for rename in self._hooks.renamers.values():
            key = rename(key)
        return key

    def _new_id(self) -> str:
        """For a request that came without."""
        return f"{self._service.name}-{next(self._unnamed)}"

    def _warn(self, fate: Fate, served: Request) -> None:
        if fate.warning is not None and self._service.warnings:
            text = self._service.warnings[int(fate.warning * len(self._service.warnings))]
            self._telemetry.log("WARNING", text.replace("{key}", served.key), served.span)

    def _turn_away(self, served: Request) -> int:
        self._traffic.rejected += 1
        return self._refuse(served, _BUSY, "turned away, too many requests are in flight")

    def _refuse(self, served: Request, status: int, why: str) -> int:
        served.span.set_attribute("http.response.status_code", status)
        served.span.set_status(StatusCode.ERROR, why)
        self._telemetry.log("WARNING", f"{served.endpoint.name} {why}", served.span)
        return status

    def _close_connection(self, request: web.BaseRequest) -> None:
        if request.transport is not None:
            request.transport.abort()

    def _fail(self, endpoint: Endpoint, error: Exception, span: Span) -> None:
        span.set_attribute("http.response.status_code", _FAILED)
        span.record_exception(error)
        span.set_status(StatusCode.ERROR, str(error))
        self._telemetry.log("ERROR", f"{endpoint.name} failed: {type(error).__name__}: {error}", span, error)

    async def _work(self, served: Request, fate: Fate) -> bytes:
        endpoint = served.endpoint
        for begin in list(self._hooks.beginnings.values()):
            await begin(served)
        burn(fate.cpu_s)
        self._heap.leave_garbage()
        await self._database.find(endpoint.name, served.key)
        await self._read(served)
        for number, (call, is_made) in enumerate(zip(endpoint.calls, fate.makes, strict=True), start=1):
            if is_made:
                await self._make(call, served, number)
        await self._database.put(endpoint.name, served.key, f"{served.key} {served.id}\n".encode())
        record = record_of(endpoint.name, served.key, endpoint.response_bytes)
        # A list, so that every spoiler draws its own chance whatever the others say.
        spoilers = self._hooks.spoilers.values()
        if any([fate.outcome == "broken", *(spoils(endpoint.name) for spoils in spoilers)]):
            del record["payload"]
        for answer in self._hooks.answerers.values():
            answer(record)
        attached = [attach(endpoint.name) for attach in self._hooks.attachers.values()]
        return render(record, [each for each in attached if each])

    async def _read(self, served: Request) -> None:
        """The datastore, unless the cache spares it."""
        endpoint, key = served.endpoint, served.key
        if endpoint.datastore is None:
            return
        if endpoint.cache and self._caches[endpoint.cache].hit(key, time.monotonic()):
            return
        await self._caller.call(endpoint.datastore, served, "0")
        if endpoint.cache:
            self._caches[endpoint.cache].put(key, time.monotonic())
        if endpoint.invalidates:
            self._caches.drop(endpoint.invalidates, key)

    async def _make(self, call: Call, served: Request, number: int) -> None:
        try:
            for time_made in range(call.times):
                await self._caller.call(call, served, f"{number}-{time_made}")
        except CallFailed as error:
            if not call.optional:
                raise
            message = f"{error}, answering without it"
            self._telemetry.log("WARNING", message, served.span, error.__cause__ or error)
