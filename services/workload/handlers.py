"""A request in; its work and calls; an answer out."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

from aiohttp import web
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from microservo.adapters.opentelemetry_sdk import Instrumentation
from microservo.domain.topology import Call, Endpoint, Service
from services.workload.cache import Caches
from services.workload.calls import Caller, CallFailed
from services.workload.traffic import Traffic
from services.workload.work import burn, record_of, render

_PROPAGATOR = TraceContextTextMapPropagator()

# Given the name of an endpoint: whether the record of this request is to come out broken.
Spoiler = Callable[[str], bool]


class RequestHandler:
    """Serves the endpoints of one service.

    Args:
        chance: decides which optional share of calls is made, and varies the work.
        spoilers: asked for every request; one that says True leaves a field out of the record, and the code
            that needs it fails by itself. (The traceback must look like any other bug's.)
    """

    def __init__(
        self,
        service: Service,
        caller: Caller,
        telemetry: Instrumentation,
        *,
        traffic: Traffic,
        caches: Caches,
        chance: random.Random,
        spoilers: dict[str, Spoiler],
    ) -> None:
        self._service = service
        self._caller = caller
        self._telemetry = telemetry
        self._traffic = traffic
        self._caches = caches
        self._chance = chance
        self._spoilers = spoilers

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serves one request; 404 for an endpoint that the service hasn't."""
        endpoint = self._service.endpoints.get(request.path[1:])
        if endpoint is None:
            return web.Response(status=404, text=f"{self._service.name} has no endpoint {request.path}\n")
        context = _PROPAGATOR.extract(request.headers)
        span = self._telemetry.tracer.start_span(endpoint.name, context, SpanKind.SERVER)
        started_s = time.perf_counter()
        self._traffic.begin()
        failed = True
        try:
            body = await self._serve(endpoint, request.query.get("key", ""), span, started_s)
            failed = body is None
        except asyncio.CancelledError:
            span.set_status(StatusCode.ERROR, "the caller went away")
            raise
        finally:
            self._traffic.end(time.perf_counter() - started_s, failed=failed)
            span.end()
        return web.Response(status=500) if body is None else web.Response(body=body)

    async def _serve(self, endpoint: Endpoint, key: str, span: Span, started_s: float) -> bytes | None:
        """The answer; None when it failed, which is then in span and log."""
        try:
            body = await self._work(endpoint, key, span)
        # The boundary of a request: whatever its code raises is a 500, as in any web framework.
        except Exception as error:
            self._fail(endpoint, error, span)
            return None
        span.set_attribute("http.response.status_code", 200)
        duration_ms = 1000 * (time.perf_counter() - started_s)
        self._telemetry.log("INFO", f"{endpoint.name} served in {duration_ms:.1f} ms", span)
        return body

    def _fail(self, endpoint: Endpoint, error: Exception, span: Span) -> None:
        span.set_attribute("http.response.status_code", 500)
        span.record_exception(error)
        span.set_status(StatusCode.ERROR, str(error))
        self._telemetry.log("ERROR", f"{endpoint.name} failed: {type(error).__name__}: {error}", span, error)

    async def _work(self, endpoint: Endpoint, key: str, span: Span) -> bytes:
        burn(endpoint.cpu_ms / 1000 * self._chance.uniform(0.7, 1.3))
        await self._read(endpoint, key, span)
        for call in endpoint.calls:
            if call.share >= 1.0 or self._chance.random() < call.share:
                await self._make(call, key, span)
        record = record_of(endpoint.name, key, endpoint.response_bytes)
        # A list, so that every spoiler draws its own chance whatever the others say.
        if any([spoils(endpoint.name) for spoils in self._spoilers.values()]):
            del record["payload"]
        return render(record)

    async def _read(self, endpoint: Endpoint, key: str, span: Span) -> None:
        """The datastore, unless the cache spares it."""
        if endpoint.datastore is None:
            return
        if endpoint.cache and self._caches[endpoint.cache].hit(key, time.monotonic()):
            return
        await self._caller.call(endpoint.datastore, key, span)
        if endpoint.cache:
            self._caches[endpoint.cache].put(key, time.monotonic())
        if endpoint.invalidates:
            self._caches[endpoint.invalidates].drop(key)

    async def _make(self, call: Call, key: str, span: Span) -> None:
        try:
            for _ in range(call.times):
                await self._caller.call(call, key, span)
        except CallFailed as error:
            if not call.optional:
                raise
            message = f"{error}, answering without it"
            self._telemetry.log("WARNING", message, span, error.__cause__ or error)
