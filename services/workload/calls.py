"""Calls of other services: round robin, time limits, retries, a CLIENT span for each attempt."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import aiohttp
from opentelemetry.trace import Span, SpanKind, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from microservo.adapters.opentelemetry_sdk import Instrumentation
from microservo.domain.topology import Call
from microservo.errors import InvalidInput, MicroServoError
from services.workload.fate import REQUEST_ID

_RETRIED_STATUSES = {502, 503, 504}
_FIRST_FAILURE = 500
_BACKOFF_S = (0.01, 0.05)
_PROPAGATOR = TraceContextTextMapPropagator()


class CallFailed(MicroServoError):
    """A call got no answer, or a bad one; `retryable` when another attempt may fare better."""

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable


def read_peers(path: Path | None) -> dict[str, list[str]]:
    """The base addresses of each service's instances; {} without a file.

    Raises:
        InvalidInput: the file isn't a JSON object of lists of addresses.
    """
    if path is None:
        return {}
    try:
        peers = json.loads(path.read_text(encoding="utf-8"))
        return {str(service): [str(url).rstrip("/") for url in urls] for service, urls in peers.items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        msg = f'peers file {path} is unusable ({error}); write {{"service": ["http://127.0.0.1:port"]}}'
        raise InvalidInput(msg) from error


class Caller:
    """Makes the calls of one instance."""

    def __init__(
        self,
        peers: Mapping[str, Sequence[str]],
        session: aiohttp.ClientSession,
        telemetry: Instrumentation,
        chance: random.Random,
    ) -> None:
        self._urls: dict[str, Iterator[str]] = {
            name: itertools.cycle(urls) for name, urls in peers.items() if urls
        }
        self._session = session
        self._telemetry = telemetry
        self._chance = chance

    async def call(self, call: Call, key: str, parent: Span, request_id: str) -> None:
        """Makes one call, with its retries.

        Args:
            call: what is called.
            key: what the request is about.
            parent: span of the request that makes the call.
            request_id: of the call; each further attempt has one of its own.

        Raises:
            CallFailed: the last attempt failed too.
        """
        for attempt in itertools.count(1):
            try:
                return await self._attempt(call, key, parent, request_id, attempt)
            except CallFailed as error:
                if not error.retryable or attempt > call.retries:
                    raise
                self._telemetry.log("WARNING", f"{error}, trying again", parent, error.__cause__)
                await asyncio.sleep(self._chance.uniform(*_BACKOFF_S))

    async def _attempt(self, call: Call, key: str, parent: Span, request_id: str, attempt: int) -> None:
        span = self._telemetry.tracer.start_span(
            call.endpoint,
            set_span_in_context(parent),
            SpanKind.CLIENT,
            {"peer.service": call.service, "http.request.resend_count": attempt - 1},
        )
        try:
            status = await self._send(call, key, span, f"{request_id}r{attempt - 1}")
            span.set_attribute("http.response.status_code", status)
            if status >= _FIRST_FAILURE:
                message = f"{call.endpoint} on {call.service} answered {status}"
                raise CallFailed(message, retryable=status in _RETRIED_STATUSES)
        except CallFailed as error:
            cause = error.__cause__ or error
            span.set_attribute("error.type", type(cause).__name__)
            span.set_status(StatusCode.ERROR, str(error))
            raise
        finally:
            span.end()

    async def _send(self, call: Call, key: str, span: Span, request_id: str) -> int:
        url = self._url(call.service)
        headers = {REQUEST_ID: request_id}
        _PROPAGATOR.inject(headers, set_span_in_context(span))
        limit = aiohttp.ClientTimeout(total=call.timeout_ms / 1000)
        params = {"key": key} if key else None
        try:
            async with self._session.post(
                f"{url}/{call.endpoint}", params=params, headers=headers, timeout=limit
            ) as answer:
                await answer.read()
                return answer.status
        except TimeoutError as error:
            message = f"{call.endpoint} on {call.service} timed out after {call.timeout_ms:g} ms"
            raise CallFailed(message, retryable=True) from error
        except aiohttp.ClientError as error:
            message = f"{call.endpoint} on {call.service} lost its connection"
            raise CallFailed(message, retryable=True) from error

    def _url(self, service: str) -> str:
        urls = self._urls.get(service)
        if urls is None:
            message = f"{service} has no known address"
            raise CallFailed(message, retryable=False)
        return next(urls)
