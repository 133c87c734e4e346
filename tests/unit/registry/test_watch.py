from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from registry_server import S, new_registry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from microservo.domain.registry.documents import RegistrationDocument
from microservo.runtime.http import HttpServer
from microservo.testing import ManualClock, eventually
from services.registry.registry import Registry
from services.registry.watch import Watch, is_running

CART = {"service": "cart", "instance": "cart-1", "endpoint": "http://127.0.0.1:9000"}


@pytest.fixture
def clock() -> ManualClock:
    """Ten years from now, since processes are dated by the machine."""
    return ManualClock(2_100_000_000 * S)


@pytest.fixture
def registry(clock: ManualClock) -> Registry:
    return new_registry(clock)


@pytest.fixture
def watch(registry: Registry, clock: ManualClock) -> Iterator[Watch]:
    with Watch(registry, monotonic_s=lambda: clock() / S) as found:
        yield found


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as found:
        yield found
        found.kill()


def gone(registry: Registry) -> bool:
    return "cart" not in registry.services()


@pytest.mark.usefixtures("watch")
def test_an_instance_is_gone_at_once_when_its_process_ends(
    registry: Registry, clock: ManualClock, process: subprocess.Popen[bytes]
) -> None:
    registry.register(RegistrationDocument(**CART, pid=process.pid))
    clock.advance(3600 * S)
    assert registry.advance() == [], "it needs no heartbeat"
    assert not gone(registry)
    process.kill()
    # It stays a zombie until somebody waits for it.
    eventually(lambda: gone(registry), timeout_s=30, what="the end of the instance")


def test_a_later_process_of_the_same_number_is_not_the_one_that_was_registered(
    registry: Registry, process: subprocess.Popen[bytes]
) -> None:
    registry.register(RegistrationDocument(**CART, pid=process.pid))
    (record,) = registry.watched()
    assert is_running(record)
    ancient = ManualClock(1_000 * S)
    earlier = new_registry(ancient)
    earlier.register(RegistrationDocument(**CART, pid=process.pid))
    (record,) = earlier.watched()
    assert not is_running(record)


def test_a_health_url_says_whether_an_instance_is_given_out_and_its_silence_that_it_is_gone(
    registry: Registry, watch: Watch, clock: ManualClock
) -> None:
    status = [200]

    async def health(_: Request) -> Response:
        return PlainTextResponse("", status[0])

    def state() -> str:
        clock.advance(S)
        found = registry.endpoints("cart", registry.place)
        return found[0].state if found else "gone"

    with HttpServer(Starlette(routes=[Route("/health", health)]), port=0) as server:
        url = f"http://127.0.0.1:{server.port}"
        registry.register(RegistrationDocument(service="cart", endpoint=url, health_url=f"{url}/health"))
        status[0] = 503
        eventually(lambda: state() == "unhealthy", timeout_s=30, what="the illness")
        status[0] = 200
        eventually(lambda: state() == "up", timeout_s=30, what="the recovery")
    eventually(lambda: state() == "gone", timeout_s=30, what="the end of the instance")
    watch.look()
