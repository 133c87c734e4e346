"""Calls of other services: the nearest in turn, time limits, retries, a CLIENT span for each attempt.

A call is limited by its own time limit and by the deadline of the request that it is made for; the earlier of
both goes on with it, so that nobody works on what nobody waits for. Retries have a budget for each callee.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import socket
from collections import defaultdict
from collections.abc import Callable

import aiohttp
from opentelemetry.trace import Span, SpanKind, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from microservo.adapters.clock import now_us
from microservo.adapters.opentelemetry_sdk import Instrumentation
from microservo.domain.topology import Call
from microservo.errors import MicroServoError
from microservo.platforms.local.peers import Peers
from microservo.platforms.local.request_headers import DEADLINE, REQUEST_ID
from services.workload.outgoing import Impatience, Outgoing
from services.workload.request import Request
from services.workload.retry_budget import RetryBudget
from services.workload.work import is_record_of

_RETRIED_STATUSES = {502, 503, 504}
_FIRST_FAILURE = 500
_BACKOFF_S = (0.01, 0.05)
_PROPAGATOR = TraceContextTextMapPropagator()


class CallFailed(MicroServoError):
    """A call got no answer, or a bad one; `retryable` when another attempt may fare better."""

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable


class Caller:
    """Makes the calls of one instance.

    Args:
        peers: where the services are.
        session: of the client.
        chance: of the waits before retries.
        outgoing: what is in force on calls.
        clock: epoch microseconds UTC.

    Attributes:
        limits_us: by name of who set it, a time limit of every attempt that is lower than the call's own.
        addresses: likewise a base address that all calls go to instead of their callee's own.
    """

    def __init__(
        self,
        peers: Peers,
        session: aiohttp.ClientSession,
        telemetry: Instrumentation,
        chance: random.Random,
        *,
        outgoing: Outgoing | None = None,
        clock: Callable[[], int] = now_us,
    ) -> None:
        self._peers = peers
        self._session = session
        self._telemetry = telemetry
        self._chance = chance
        self._outgoing = outgoing or Outgoing()
        self._clock = clock
        self.limits_us: dict[str, int] = {}
        self.addresses: dict[str, str] = {}
        self._budgets: defaultdict[str, RetryBudget] = defaultdict(RetryBudget)

    async def call(self, call: Call, request: Request, number: str) -> None:
        """Makes one call, with its retries.

        Args:
            call: what is called.
            request: that the call is made for.
            number: of the call among those of the request.

        Raises:
            CallFailed: the last attempt failed too, or the request has expired.
        """
        impatience = self._outgoing.impatience_with(call.service)
        if impatience is not None:
            return await self._insist(call, request, number, impatience)
        budget = self._budgets[call.service]
        budget.earn()
        for attempt in itertools.count(1):
            try:
                return await self._attempt(call, request, number, attempt)
            except CallFailed as error:
                if not error.retryable or attempt > call.retries or not budget.spend():
                    raise
                self._telemetry.log("WARNING", f"{error}, trying again", request.span, error.__cause__)
                await asyncio.sleep(self._chance.uniform(*_BACKOFF_S))

    async def _insist(self, call: Call, request: Request, number: str, impatience: Impatience) -> None:
        """Makes a call again and again, at once and whatever the budget says."""
        for attempt in itertools.count(1):
            try:
                return await self._attempt(call, request, number, attempt, most_us=impatience.after_us)
            except CallFailed as error:
                if attempt > impatience.retries:
                    raise
                impatience.again()
                self._telemetry.log("WARNING", f"{error}, trying again", request.span, error.__cause__)

    async def _attempt(
        self, call: Call, request: Request, number: str, attempt: int, *, most_us: int | None = None
    ) -> None:
        limit_us = self._limit_us(call, request)
        if most_us is not None:
            limit_us = min(limit_us, most_us)
        span = self._telemetry.tracer.start_span(
            call.endpoint,
            set_span_in_context(request.span),
            SpanKind.CLIENT,
            {"peer.service": call.service, "http.request.resend_count": attempt - 1},
        )
        try:
            status = await self._send(
                call, request.key, span, f"{request.id}.{number}r{attempt - 1}", limit_us
            )
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

    def _limit_us(self, call: Call, request: Request) -> int:
        """How long an attempt that begins now may take."""
        limit_us = min([round(call.timeout_ms * 1000), *self.limits_us.values()])
        if request.deadline_us is None:
            return limit_us
        left_us = request.deadline_us - self._clock()
        if left_us <= 0:
            message = f"{call.endpoint} on {call.service} was not called, nobody waits for it any more"
            raise CallFailed(message, retryable=False)
        return min(limit_us, left_us)

    async def _send(self, call: Call, key: str, span: Span, request_id: str, limit_us: int) -> int:
        peer = self._peer(call.service)
        url = next(iter(self.addresses.values()), peer)
        headers = {REQUEST_ID: request_id, DEADLINE: str(self._clock() + limit_us)}
        _PROPAGATOR.inject(headers, set_span_in_context(span))
        params = {"key": key} if key else None
        try:
            left_s = limit_us / 1e6
            if self._outgoing.disturbances:
                url, left_s = await self._reach(call.service, url, left_s)
            async with self._session.post(
                f"{url}/{call.endpoint}",
                params=params,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=left_s),
            ) as answer:
                body = await answer.read()
        except TimeoutError as error:
            self._peers.silent(peer)
            message = f"{call.endpoint} on {call.service} timed out after {limit_us / 1000:.0f} ms"
            raise CallFailed(message, retryable=True) from error
        except aiohttp.ClientError as error:
            self._peers.silent(peer)
            message = f"{call.endpoint} on {call.service} lost its connection"
            raise CallFailed(message, retryable=True) from error
        except socket.gaierror as error:
            message = f"{call.endpoint} on {call.service} was not called, there is no address of it"
            raise CallFailed(message, retryable=True) from error
        self._peers.heard(peer)
        if not is_record_of(body, call.endpoint):
            message = f"{call.endpoint} on {call.service} answered with a record of something else"
            raise CallFailed(message, retryable=False)
        return answer.status

    async def _reach(self, service: str, url: str, limit_s: float) -> tuple[str, float]:
        """Where a service is, and how much of the limit is left for the call."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + limit_s
        async with asyncio.timeout_at(until_s):
            url = await self._outgoing.reach(service, url)
        # 0 would be no limit at all.
        return url, max(0.001, until_s - loop.time())

    def _peer(self, service: str) -> str:
        url = self._peers.next(service)
        if url is None:
            message = f"{service} has no known address"
            raise CallFailed(message, retryable=False)
        return url
