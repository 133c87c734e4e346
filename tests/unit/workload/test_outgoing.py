"""Faults of the calls that an instance makes, on real sockets: what it meets, and nothing after."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from instance_site import site_in

from microservo.domain.topology import Call, Endpoint
from microservo.errors import InvalidInput
from microservo.platforms.local.peers import Peers
from services.workload.active_faults import WorkloadFaults
from services.workload.calls import Caller, CallFailed
from services.workload.faults.base import FaultSite
from services.workload.request import Request
from services.workload.work import record_of, render

PATIENCE_S = 60.0
FOR_EVER_US = 600_000_000
Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


async def well(request: web.BaseRequest) -> web.StreamResponse:
    return web.Response(body=render(record_of(request.path[1:], "", 10)))


class Site:
    """An instance `front` that calls `back` and `side`, and what came to them."""

    def __init__(self, site: FaultSite, came: list[str]) -> None:
        self.came = came
        self._caller = site.caller
        self._telemetry = site.telemetry
        self.faults = WorkloadFaults(site)

    async def call(self, service: str = "back", *, timeout_ms: float = 2000.0, retries: int = 0) -> str:
        """What becomes of one call: "" where it went well."""
        call = Call(service=service, endpoint="Work", timeout_ms=timeout_ms, retries=retries)
        span = self._telemetry.tracer.start_span("Page")
        request = Request(endpoint=Endpoint(name="Page"), id="1", key="", span=span, deadline_us=None)
        try:
            await asyncio.wait_for(self._caller.call(call, request, "1"), PATIENCE_S)
        except CallFailed as error:
            return str(error)
        return ""

    async def apply(self, kind: str, fault_id: str = "f1", **parameters: object) -> None:
        await self.faults.apply(fault_id, kind, parameters)

    async def recover(self, fault_id: str = "f1") -> int | None:
        """How many calls it has acted on."""
        confirmed = await self.faults.recover(fault_id)
        assert confirmed is not None
        return confirmed.acted

    @property
    def acted(self) -> object:
        return self.faults.listing()[0]["acted"]


@asynccontextmanager
async def site(answer: Answer = well) -> AsyncIterator[Site]:
    came: list[str] = []

    async def noted(request: web.BaseRequest) -> web.StreamResponse:
        came.append(request.path)
        return await answer(request)

    runner = web.ServerRunner(web.Server(noted, handler_cancellation=True), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    peers = {"back": [url], "side": [url]}
    with TemporaryDirectory() as folder, site_in(Path(folder), callees=peers) as found:
        async with aiohttp.ClientSession() as session:
            caller = Caller(Peers(peers), session, found.telemetry, random.Random(7), outgoing=found.outgoing)
            yield Site(replace(found, caller=caller), came)
    await runner.cleanup()


def run(scene: Callable[[Site], Coroutine[None, None, None]], answer: Answer = well) -> None:
    async def within() -> None:
        async with site(answer) as here:
            await scene(here)

    asyncio.run(within())


def test_a_name_that_is_not_found_fails_the_call_before_it_is_made() -> None:
    async def scene(here: Site) -> None:
        await here.apply("dns-failure", name="back")
        assert "no address of it" in await here.call()
        assert here.came == []
        assert await here.call("side") == "", "names of others are found"
        assert await here.recover() == 1
        assert await here.call() == ""

    run(scene)


def test_the_error_of_a_name_that_is_not_found_is_that_of_a_resolver(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def scene(here: Site) -> None:
        await here.apply("dns-failure", name="")
        await here.call(retries=1)
        assert await here.recover() == 2, "another attempt looks it up again"

    run(scene)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert ["gaierror" in str(line) for line in lines] == [True]


def test_a_late_name_delays_the_call_and_counts_against_its_time_limit() -> None:
    async def scene(here: Site) -> None:
        loop = asyncio.get_running_loop()
        await here.apply("dns-delay", delay_us=100_000, name="")
        began_s = loop.time()
        assert await here.call() == ""
        assert loop.time() - began_s >= 0.1
        assert "timed out after 30 ms" in await here.call(timeout_ms=30)
        assert here.came == ["/Work"]
        assert await here.recover() == 2

    run(scene)


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("dns-delay", {"delay_us": FOR_EVER_US, "name": "back"}),
        ("dependency-blackhole", {"peer": "back"}),
        ("network-partition", {"peer": "back"}),
    ],
)
def test_recovery_sends_the_calls_that_still_wait(kind: str, parameters: dict[str, Any]) -> None:
    async def scene(here: Site) -> None:
        await here.apply(kind, **parameters)
        assert "timed out after 30 ms" in await here.call(timeout_ms=30)
        waiting = asyncio.create_task(here.call(timeout_ms=1000 * PATIENCE_S))
        while here.acted != 2:
            await asyncio.sleep(0.001)
        assert await here.call("side") == ""
        assert here.came == ["/Work"]
        assert await here.recover() == 2
        assert await waiting == ""
        assert await here.call() == ""
        assert len(here.came) == 3

    run(scene)


def test_a_wrong_address_is_one_where_nobody_listens() -> None:
    async def scene(here: Site) -> None:
        await here.apply("dns-wrong-address", name="")
        assert "lost its connection" in await here.call()
        assert "lost its connection" in await here.call("side")
        assert here.came == []
        assert await here.recover() == 2
        assert await here.call() == ""

    run(scene)


def test_a_storm_makes_a_call_again_until_it_goes_well_or_all_retries_are_gone() -> None:
    let_go = asyncio.Event()

    async def hanging(request: web.BaseRequest) -> web.StreamResponse:
        await let_go.wait()
        return await well(request)

    async def scene(here: Site) -> None:
        await here.apply("retry-storm", retries=4, after_us=50_000, peer="back")
        assert "timed out after 50 ms" in await here.call()
        assert here.acted == 4
        waiting = asyncio.create_task(here.call("side", timeout_ms=1000 * PATIENCE_S))
        let_go.set()
        assert await waiting == "", "calls of others have the time they always have"
        assert await here.recover() == 4
        assert await here.call(timeout_ms=1000 * PATIENCE_S) == ""

    run(scene, hanging)


def test_a_storm_knows_no_budget_and_retries_what_is_no_use() -> None:
    async def failing(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=500)

    async def scene(here: Site) -> None:
        await here.apply("retry-storm", retries=10, after_us=FOR_EVER_US, peer="")
        for _ in range(4):
            assert "answered 500" in await here.call()
        assert len(here.came) == 44
        assert await here.recover() == 40
        assert "answered 500" in await here.call(retries=3)
        assert len(here.came) == 45, "a 500 is not tried again by itself"

    run(scene, failing)


def test_a_record_of_something_else_fails_the_call() -> None:
    async def wrong(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=b'{"endpoint": "wrong", "key": "", "payload": ""}')

    async def scene(here: Site) -> None:
        assert "a record of something else" in await here.call(retries=3)
        assert len(here.came) == 1

    run(scene, wrong)


@pytest.mark.parametrize(
    ("kind", "parameters", "sentence"),
    [
        ("dns-failure", {"name": "cart"}, "name is 'cart'; choose one of ['back', 'side']"),
        ("dns-wrong-address", {"name": 3}, "name is 3; choose one of"),
        ("dns-delay", {"name": ""}, "delay_us is None; give a number from 0"),
        ("dns-delay", {"delay_us": -1, "name": ""}, "delay_us is -1"),
        ("dependency-blackhole", {"peer": "cart"}, "peer is 'cart'; choose one of ['back', 'side']"),
        ("dependency-blackhole", {"peer": "", "ratio": 1}, "unknown parameters ['ratio']"),
        ("network-partition", {"peer": ""}, "peer is empty; give the name of a service"),
        ("retry-storm", {"retries": 0, "after_us": 1, "peer": ""}, "retries is 0"),
        ("retry-storm", {"retries": 1, "after_us": 0, "peer": ""}, "after_us is 0"),
    ],
)
def test_wrong_parameters_are_refused_and_nothing_is_touched(
    kind: str, parameters: dict[str, Any], sentence: str
) -> None:
    async def scene(here: Site) -> None:
        with pytest.raises(InvalidInput) as refused:
            await here.apply(kind, **parameters)
        assert sentence in str(refused.value)
        assert here.faults.listing() == []
        assert await here.call() == ""

    run(scene)
