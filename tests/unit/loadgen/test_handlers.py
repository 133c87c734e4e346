"""The same load whatever the target does."""

from __future__ import annotations

import asyncio
from itertools import islice

import aiohttp
import pytest
from aiohttp import web

from microservo.adapters.opentelemetry_sdk import Instrumentation
from microservo.domain.topology import Journey, Step
from microservo.platforms.local.peers import NOWHERE, Peers
from services.loadgen.handlers import JourneyHandler
from services.loadgen.schedule import arrivals
from services.loadgen.tally import Tally

JOURNEY = Journey(
    name="buy",
    weight=1,
    steps=(
        Step(endpoint="Product"),
        Step(endpoint="Cart", think_ms=40),
        Step(endpoint="Checkout", think_ms=40),
    ),
)
Seen = tuple[str, str, str]


async def requests_of(answer: int | None) -> tuple[list[Seen], Tally]:
    """What three users ask of an entry that answers so; never, where it is None."""
    seen: list[Seen] = []

    async def entry(request: web.BaseRequest) -> web.StreamResponse:
        seen.append((request.path, request.query["key"], request.headers["x-request-id"]))
        if answer is None:
            await asyncio.Event().wait()
        return web.Response(status=answer or 200)

    telemetry = Instrumentation(service="loadgen", instance="loadgen-0", otlp_url="http://127.0.0.1:1")
    runner = web.ServerRunner(web.Server(entry), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    tally = Tally()
    async with aiohttp.ClientSession() as session:
        handler = JourneyHandler(
            session,
            telemetry,
            tally,
            entry="front",
            peers=Peers({"front": [f"http://127.0.0.1:{port}"]}),
            timeout_ms=1500 if answer is None else 30_000,
            place_of=lambda _: "",
            near=lambda _: NOWHERE,
        )
        await asyncio.gather(*(handler(each) for each in islice(arrivals((JOURNEY,), 7), 3)))
    await runner.cleanup()
    telemetry.shutdown(0.1)
    return sorted(seen), tally


@pytest.mark.parametrize("answer", [500, None], ids=["failing", "hanging"])
def test_users_ask_the_same_of_a_target_that_fails_or_hangs(answer: int | None) -> None:
    calm, healthy = asyncio.run(requests_of(200))
    faulty, struck = asyncio.run(requests_of(answer))
    assert faulty == calm
    assert len(calm) == 9
    assert {request_id for _, _, request_id in calm} >= {"0.0", "0.1", "0.2", "2.2"}
    assert (healthy.errors, struck.errors) == (0, 9)
