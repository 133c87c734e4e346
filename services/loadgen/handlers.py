"""An arrival in; the steps of its journey out, as requests of the entry service."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import aiohttp
from opentelemetry.trace import Span, SpanKind, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from microservo.adapters.clock import now_us
from microservo.adapters.opentelemetry_sdk import Instrumentation
from microservo.domain.topology import Step
from microservo.platforms.local.peers import Peers, Vicinity
from microservo.platforms.local.request_headers import DEADLINE, PLACE, REQUEST_ID
from services.loadgen.schedule import Arrival
from services.loadgen.tally import Tally

_PROPAGATOR = TraceContextTextMapPropagator()
_FIRST_FAILURE = 500


class JourneyHandler:
    """Makes one journey of one user.

    A step is due so long after the one before was begun, answered or not, and whether it went well or not:
    what the system does changes nothing of the load that it gets.

    Args:
        entry: name of the entry service.
        peers: where it is.
        place_of: the place of the user of a journey, by its number; "" for none.
        near: what is near such a place.
        timeout_ms: how long a user waits for an answer.
        clock: epoch microseconds UTC.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        telemetry: Instrumentation,
        tally: Tally,
        *,
        entry: str,
        peers: Peers,
        place_of: Callable[[int], str],
        near: Callable[[str], Vicinity],
        timeout_ms: float,
        clock: Callable[[], int] = now_us,
    ) -> None:
        self._session = session
        self._telemetry = telemetry
        self._tally = tally
        self._entry = entry
        self._peers = peers
        self._place_of = place_of
        self._near = near
        self._timeout_ms = timeout_ms
        self._clock = clock

    async def __call__(self, arrival: Arrival) -> None:
        """Walks the journey."""
        due_s = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as requests:
            steps = zip(arrival.journey.steps, arrival.trace_ids, strict=True)
            for number, (step, trace_id) in enumerate(steps):
                due_s += step.think_ms / 1000 * arrival.pace
                await asyncio.sleep(due_s - asyncio.get_running_loop().time())
                request_id = f"{arrival.number}.{number}"
                requests.create_task(self._request_step(step, arrival, request_id, trace_id))

    async def _request_step(self, step: Step, arrival: Arrival, request_id: str, trace_id: int) -> None:
        """Makes one request in a trace of its own."""
        span = self._telemetry.start_trace(
            step.endpoint, trace_id, kind=SpanKind.CLIENT, attributes={"peer.service": self._entry}
        )
        try:
            started_s = time.perf_counter()
            trouble, exception = await self._request(step, arrival, request_id, span)
            duration_s = time.perf_counter() - started_s
            self._tally.answered(duration_s, failed=bool(trouble))
            what = f"{step.endpoint} in {arrival.journey.name}"
            if trouble:
                span.set_status(StatusCode.ERROR, trouble)
                self._telemetry.log("ERROR", f"{what} {trouble}", span, exception)
            else:
                self._telemetry.log("INFO", f"{what} answered in {1000 * duration_s:.1f} ms", span)
        finally:
            span.end()

    async def _request(
        self, step: Step, arrival: Arrival, request_id: str, span: Span
    ) -> tuple[str, Exception | None]:
        """What went wrong, as the user would say it; "" when nothing did."""
        place = self._place_of(arrival.number)
        url = self._peers.next(self._entry, self._near(place))
        if url is None:
            return "had no address to go to", None
        deadline_us = self._clock() + round(self._timeout_ms * 1000)
        headers = {REQUEST_ID: request_id, DEADLINE: str(deadline_us)}
        if place:
            headers[PLACE] = place
        _PROPAGATOR.inject(headers, set_span_in_context(span))
        try:
            async with self._session.post(
                f"{url}/{step.endpoint}",
                params={"key": arrival.user},
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=self._timeout_ms / 1000),
            ) as answer:
                await answer.read()
        except TimeoutError as error:
            self._peers.silent(url)
            return f"timed out after {self._timeout_ms:g} ms", error
        except aiohttp.ClientError as error:
            self._peers.silent(url)
            return "lost its connection", error
        self._peers.heard(url)
        span.set_attribute("http.response.status_code", answer.status)
        return (f"failed with status {answer.status}" if answer.status >= _FIRST_FAILURE else ""), None
