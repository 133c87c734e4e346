"""A load balancer with a real nginx, real servers behind it and users before it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from backends import Backend, backends
from balancer_server import (
    PATIENCE_S,
    Balanced,
    balancing,
    memory_broker,
    need_nginx,
    nginx_folder,
    nginx_processes,
    nginx_workers,
)

from microservo.domain.balancing.documents import ServerDocument, ServersDocument
from microservo.errors import InvalidInput, Unavailable
from microservo.runtime.shutdown import Shutdown
from microservo.testing import eventually
from services.balancer.service import run
from services.balancer.settings import BalancerSettings

pytestmark = pytest.mark.integration

GONE_S = 8.0
"""How long a server that is dead may get requests, on a machine that is busy."""


@pytest.fixture
def folder() -> Iterator[Path]:
    need_nginx()
    with nginx_folder() as found:
        yield found


def add(balanced: Balanced, service: str, *servers: Backend, health_path: str | None = None) -> None:
    documents = [ServerDocument(server=each.address, health_path=health_path) for each in servers]
    balanced.api.add(service, ServersDocument(documents))


def test_users_reach_a_service_by_its_name_and_their_requests_arrive_as_they_were(folder: Path) -> None:
    with balancing(folder) as balanced, Backend() as cart:
        add(balanced, "cart", cart)
        said = balanced.get("/cart/a%2Fb/c%20d//e?x=%2F&y=1").json()
        assert said["path"] == "/a%2Fb/c%20d//e?x=%2F&y=1"
        assert said["headers"]["x-forwarded-prefix"] == "/cart"
        assert said["headers"]["x-forwarded-for"] == "127.0.0.1"
        assert said["headers"]["host"] == balanced.url.removeprefix("http://")
        assert balanced.get("/cart?x=1").json()["path"] == "/?x=1"
        assert balanced.ask("POST", "/cart", data=b"x" * 3_000_000).json()["body"] == 3_000_000
        assert balanced.get("/nobody/a").status_code == 404
        assert balanced.get("/cartx").status_code == 404
        cart.redirect_to = "/login?next=/"
        assert balanced.get("/cart/a").headers["Location"] == "/cart/login?next=/"
        cart.redirect_to = "/cart/login"
        assert balanced.get("/cart/a").headers["Location"] == "/cart/login", "it knows its prefix already"


def test_a_change_is_served_when_it_is_answered_for(folder: Path) -> None:
    with balancing(folder) as balanced, backends(2) as (first, second):
        for _ in range(3):
            add(balanced, "cart", first)
            assert balanced.get("/cart/").json()["port"] == first.port
            add(balanced, "cart", second)
            assert balanced.api.remove("cart", first.address)
            # Each by itself: none of them may still meet a worker with the former configuration.
            assert {balanced.get("/cart/").json()["port"] for _ in range(20)} == {second.port}
            assert balanced.api.remove("cart", second.address)
            assert balanced.get("/cart/").status_code == 404
        assert not balanced.api.remove("cart", second.address)
        assert balanced.api.services() == {}


def test_reloads_drop_no_request_under_load(folder: Path) -> None:
    """Users come all the time, with GET and POST, while servers come and go twenty times."""
    with balancing(folder) as balanced, backends(3) as servers:
        add(balanced, "cart", servers[0])
        stop = threading.Event()
        statuses: Counter[int | str] = Counter()
        lock = threading.Lock()

        def use(number: int) -> None:
            with requests.Session() as session:
                session.trust_env = False
                while not stop.is_set():
                    try:
                        method = "POST" if number % 2 else "GET"
                        found: int | str = session.request(
                            method, f"{balanced.url}/cart/{number}", data=b"x" * 100, timeout=PATIENCE_S
                        ).status_code
                    except requests.RequestException as error:
                        found = repr(error)
                    with lock:
                        statuses[found] += 1

        with ThreadPoolExecutor(8) as users:
            using = [users.submit(use, number) for number in range(8)]
            try:
                generation = balanced.api.health().generation
                for round_number in range(10):
                    add(balanced, "cart", servers[1 + round_number % 2])
                    balanced.api.remove("cart", servers[1 + round_number % 2].address)
                reloads = balanced.api.health().generation - generation
            finally:
                stop.set()
        assert all(each.done() for each in using)
        assert reloads == 20
        assert set(statuses) == {200}, statuses
        assert statuses[200] >= 100


def test_a_request_that_began_before_a_reload_is_answered_after_it(folder: Path) -> None:
    with balancing(folder) as balanced, backends(2) as (first, second), ThreadPoolExecutor(1) as users:
        add(balanced, "cart", first)
        slow = users.submit(balanced.get, "/cart/slow")
        eventually(lambda: first.waiting == 1, timeout_s=PATIENCE_S, what="the slow request")
        add(balanced, "cart", second)
        balanced.api.remove("cart", first.address)
        assert balanced.get("/cart/").json()["port"] == second.port
        assert not slow.done()
        first.release.set()
        assert slow.result(PATIENCE_S).json()["port"] == first.port


def test_a_server_that_dies_gets_no_requests_within_seconds_and_users_notice_nothing(folder: Path) -> None:
    with balancing(folder) as balanced, Backend() as lasting:
        dying = Backend()
        add(balanced, "cart", lasting, dying)
        eventually(
            lambda: {balanced.get("/cart/").json()["port"] for _ in range(4)} == {lasting.port, dying.port},
            timeout_s=PATIENCE_S,
            what="both",
        )
        dying.close()
        died_at_s = time.monotonic()

        def is_out() -> bool:
            # Meanwhile users are sent on to the other one.
            assert balanced.get("/cart/").status_code == 200
            return states(balanced)[dying.address] == "down"

        eventually(is_out, timeout_s=PATIENCE_S, what="the server to be left out")
        assert time.monotonic() - died_at_s < GONE_S
        eventually(lambda: balanced.api.health().status == "ok", timeout_s=PATIENCE_S, what="the reload")
        assert (
            f"{dying.address} max_fails=2 fail_timeout=2s down;"
            in (balanced.folder / "nginx.conf").read_text()
        )
        with Backend(dying.port) as back:
            eventually(
                lambda: balanced.get("/cart/").ok and bool(back.asked),
                timeout_s=PATIENCE_S,
                what="its return",
            )


def test_a_server_that_is_not_well_gets_no_requests_and_without_any_users_are_told(
    folder: Path,
) -> None:
    with balancing(folder) as balanced, backends(2) as servers:
        add(balanced, "cart", *servers, health_path="/health")
        ill, well = servers
        ill.is_healthy = False
        eventually(lambda: states(balanced)[ill.address] == "down", timeout_s=PATIENCE_S, what="the ill one")
        eventually(lambda: balanced.api.health().status == "ok", timeout_s=PATIENCE_S, what="the reload")
        assert {balanced.get("/cart/").json()["port"] for _ in range(10)} == {well.port}
        well.is_healthy = False
        eventually(
            lambda: balanced.get("/cart/").status_code == 503, timeout_s=PATIENCE_S, what="the refusal"
        )
        assert balanced.get("/cart/").json() == {"error": "no server of cart is up"}
        ill.is_healthy = True
        eventually(lambda: balanced.get("/cart/").status_code == 200, timeout_s=PATIENCE_S, what="its return")


def test_the_server_with_the_fewest_connections_is_asked_whichever_worker_a_user_meets(folder: Path) -> None:
    with (
        balancing(folder, balancer_workers=2) as balanced,
        backends(2) as (busy, idle),
        ThreadPoolExecutor(8) as users,
    ):
        add(balanced, "cart", busy)
        slow = [users.submit(balanced.get, "/cart/slow") for _ in range(8)]
        eventually(lambda: busy.waiting == 8, timeout_s=PATIENCE_S, what="the slow requests")
        busy.release.set()
        assert {each.result(PATIENCE_S).status_code for each in slow} == {200}
        busy.release.clear()
        add(balanced, "cart", idle)
        holding = users.submit(balanced.get, "/cart/slow")
        eventually(lambda: busy.waiting + idle.waiting == 1, timeout_s=PATIENCE_S, what="the slow request")
        holder, other = (busy, idle) if busy.waiting else (idle, busy)
        asked = [balanced.get("/cart/").json()["port"] for _ in range(20)]
        assert set(asked) == {other.port}
        holder.release.set()
        assert holding.result(PATIENCE_S).status_code == 200


def test_servers_survive_a_restart_and_nginx_ends_with_its_balancer(folder: Path) -> None:
    with Backend() as cart:
        with balancing(folder) as balanced:
            add(balanced, "cart", cart)
            url = balanced.url
        with pytest.raises(requests.ConnectionError):
            requests.get(f"{url}/cart/", timeout=PATIENCE_S)
        with balancing(folder) as balanced:
            assert balanced.get("/cart/").json()["port"] == cart.port
            assert [each.server for each in balanced.api.servers("cart")] == [cart.address]


def test_a_server_that_is_not_there_keeps_nothing_from_starting(folder: Path) -> None:
    with Backend() as cart, Backend() as gone:
        with balancing(folder) as balanced:
            add(balanced, "cart", cart)
            add(balanced, "front", gone)
        gone.close()
        with balancing(folder) as balanced:
            assert balanced.get("/cart/").json()["port"] == cart.port
            assert balanced.get("/front/").status_code in (502, 503)


def test_former_workers_do_not_stay_for_ever_for_the_sake_of_a_request(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("microservo.domain.balancing.configuration.DRAIN_S", 1)
    with (
        balancing(folder, balancer_workers=1) as balanced,
        backends(2) as (first, second),
        ThreadPoolExecutor(4) as users,
    ):
        add(balanced, "cart", first)
        endless = [users.submit(balanced.get, "/cart/slow")]
        eventually(lambda: first.waiting == 1, timeout_s=PATIENCE_S, what="a request without an end")
        for _ in range(3):
            add(balanced, "cart", second)
            balanced.api.remove("cart", second.address)
        eventually(
            lambda: len(nginx_workers(folder)) == 1, timeout_s=PATIENCE_S, what="the end of former workers"
        )
        first.release.set()
        assert isinstance(endless[0].exception(PATIENCE_S), requests.ConnectionError)


def test_a_port_that_is_taken_is_said(folder: Path) -> None:
    with Backend() as other:
        settings = BalancerSettings(balancer_port=other.port, balancer_api_port=0, balancer_folder=folder)
        with pytest.raises(Unavailable, match=f"port {other.port} of 127.0.0.1 can't be listened on"):
            run(settings, Shutdown(signals=()), broker=memory_broker())
    assert nginx_processes(folder) == []


def test_two_balancers_do_not_work_in_one_folder(folder: Path) -> None:
    with balancing(folder), pytest.raises(InvalidInput, match="another balancer works in"), balancing(folder):
        raise AssertionError


def test_a_request_to_the_balancer_itself_can_not_go_round_for_ever(folder: Path) -> None:
    with balancing(folder) as balanced:
        own = ServerDocument(server=balanced.url.removeprefix("http://"))
        with pytest.raises(InvalidInput, match="is this balancer itself"):
            balanced.api.add("cart", ServersDocument([own]))


def states(balanced: Balanced) -> dict[str, str]:
    return {each.server: each.state for each in balanced.api.servers("cart")}
