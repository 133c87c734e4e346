"""What an instance does with more than it can do, on real sockets."""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from microservo.adapters.clock import now_us
from microservo.adapters.opentelemetry_sdk import Instrumentation
from microservo.domain.topology import Call, Endpoint, Heap, Service
from microservo.platforms.local.peers import Peers
from services.workload.cache import Caches
from services.workload.calls import Caller
from services.workload.database import Database
from services.workload.handlers import RequestHandler
from services.workload.heap import GarbageHeap
from services.workload.hooks import Hooks
from services.workload.traffic import Traffic
from services.workload.volume import Volume

DEADLINE = "x-request-deadline"
Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Instance:
    """A front that calls `back`; `headers` of what came there, and what the front counted."""

    def __init__(self, url: str, traffic: Traffic, came: list[Mapping[str, str]]) -> None:
        self.traffic = traffic
        self.came = came
        self._url = url

    async def ask(self, session: aiohttp.ClientSession, headers: Mapping[str, str] = {}) -> int:
        async with session.post(f"{self._url}/Page", headers=headers) as answer:
            return answer.status


@asynccontextmanager
async def instance_of(back: Answer, *, max_active: int = 64, retries: int = 0) -> AsyncIterator[Instance]:
    came: list[Mapping[str, str]] = []

    async def noted(request: web.BaseRequest) -> web.StreamResponse:
        came.append(dict(request.headers))
        return await back(request)

    async with aiohttp.ClientSession() as session, listening(noted) as back_url:
        call = Call(service="back", endpoint="Work", timeout_ms=2000, retries=retries)
        service = Service(
            name="front", max_active=max_active, endpoints={"Page": Endpoint(name="Page", calls=(call,))}
        )
        telemetry = Instrumentation(service="front", instance="front-0", otlp_url="http://127.0.0.1:1")
        traffic, caches, volume = Traffic(), Caches(()), Volume(Path(tempfile.mkdtemp()) / "data")
        handler = RequestHandler(
            service,
            Caller(Peers({"back": [back_url]}), session, telemetry, random.Random(7)),
            telemetry,
            traffic=traffic,
            caches=caches,
            heap=GarbageHeap(Heap()),
            database=Database(volume, caches.rows),
            seed="7/front",
            hooks=Hooks(),
        )
        async with listening(handler) as url:
            yield Instance(url, traffic, came)
        telemetry.shutdown(0.1)
        volume.close()


@asynccontextmanager
async def listening(answer: Answer) -> AsyncIterator[str]:
    runner = web.ServerRunner(web.Server(answer, handler_cancellation=True), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


def lines(capsys: pytest.CaptureFixture[str]) -> Sequence[dict[str, Any]]:
    """What the front logged."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


async def failing(_: web.BaseRequest) -> web.StreamResponse:
    return web.Response(status=503)


async def well(_: web.BaseRequest) -> web.StreamResponse:
    return web.Response()


def test_what_comes_beyond_the_limit_is_turned_away_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    async def overload() -> tuple[list[int], float, Instance]:
        let_go = asyncio.Event()

        async def hanging(_: web.BaseRequest) -> web.StreamResponse:
            await let_go.wait()
            return web.Response()

        async with instance_of(hanging, max_active=2) as front, aiohttp.ClientSession() as session:
            waiting = [asyncio.create_task(front.ask(session)) for _ in range(2)]
            while len(front.came) < 2:
                await asyncio.sleep(0.001)
            began_s = time.monotonic()
            turned_away = await front.ask(session)
            took_s = time.monotonic() - began_s
            let_go.set()
            return [*await asyncio.gather(*waiting), turned_away], took_s, front

    statuses, took_s, front = asyncio.run(overload())
    assert statuses == [200, 200, 503]
    assert took_s < 1.0
    assert len(front.came) == 2, "no call is made for it"
    assert (front.traffic.rejected, front.traffic.errors, front.traffic.active) == (1, 1, 0)
    told = [line["message"] for line in lines(capsys) if line["level"] == "WARNING"]
    assert told == ["Page turned away, too many requests are in flight"]


def test_what_nobody_waits_for_any_more_is_not_worked_on(capsys: pytest.CaptureFixture[str]) -> None:
    async def late() -> tuple[list[int], Instance]:
        async with instance_of(well) as front, aiohttp.ClientSession() as session:
            headers = [{DEADLINE: str(now_us() + after_us)} for after_us in (-1, 60_000_000)]
            return [await front.ask(session, each) for each in headers], front

    statuses, front = asyncio.run(late())
    assert statuses == [504, 200]
    assert len(front.came) == 1
    told = [line["message"] for line in lines(capsys) if line["level"] == "WARNING"]
    assert told == ["Page given up, its deadline has passed"]


@pytest.mark.parametrize("patience_us", [None, 500_000, 60_000_000])
def test_a_call_says_until_when_its_caller_waits_and_never_longer_than_the_users(
    patience_us: int | None,
) -> None:
    async def ask() -> tuple[int, int, int]:
        async with instance_of(well) as front, aiohttp.ClientSession() as session:
            began_us = now_us()
            limit = {} if patience_us is None else {DEADLINE: str(began_us + patience_us)}
            assert await front.ask(session, limit) == 200
            return began_us, int(front.came[0][DEADLINE]), now_us()

    began_us, deadline_us, ended_us = asyncio.run(ask())
    least_us = min(2_000_000, patience_us or 2_000_000)
    assert began_us + least_us <= deadline_us <= ended_us + least_us


def test_a_request_that_expires_meanwhile_is_not_tried_again() -> None:
    async def ask() -> list[Mapping[str, str]]:
        async def slow(_: web.BaseRequest) -> web.StreamResponse:
            await asyncio.sleep(60)
            return web.Response()

        async with instance_of(slow, retries=5) as front, aiohttp.ClientSession() as session:
            assert await front.ask(session, {DEADLINE: str(now_us() + 200_000)}) == 500
            return front.came

    assert len(asyncio.run(ask())) == 1


def test_a_callee_that_fails_all_the_time_gets_a_tenth_more_calls_not_three_times_as_many() -> None:
    async def ask() -> int:
        async with instance_of(failing, retries=2) as front, aiohttp.ClientSession() as session:
            for _ in range(100):
                assert await front.ask(session) == 500
            return len(front.came)

    # Ten that were saved up, and a tenth of the calls since the first.
    assert asyncio.run(ask()) == 100 + 10 + 9


def test_a_deadline_that_makes_no_sense_is_passed_over() -> None:
    async def ask() -> int:
        async with instance_of(well) as front, aiohttp.ClientSession() as session:
            return await front.ask(session, {DEADLINE: "soon"})

    assert asyncio.run(ask()) == 200
