from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from microservo import BalancerClient
from microservo.domain.geography import Coordinates
from microservo.errors import InvalidInput, Retryable
from microservo.runtime.api import api_app
from microservo.runtime.http import HttpServer
from services.balancer.balancer import Balancer
from services.balancer.operations import API

TOKEN = "open-sesame"


@pytest.fixture
def balancer(tmp_path: Path) -> Balancer:
    return Balancer(tmp_path / "state.json", own_address="127.0.0.1:8080", version="1.22.1")


@pytest.fixture
def url(balancer: Balancer) -> Iterator[str]:
    """A balancer that serves whatever is wanted, without nginx."""
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            if (wanted := balancer.wait_wanted(0.05)) is not None:
                balancer.tell_served(wanted.generation)

    thread = threading.Thread(target=serve)
    thread.start()
    with HttpServer(api_app(API, balancer, token=TOKEN, checks_host=True), port=0) as server:
        yield f"http://127.0.0.1:{server.port}"
    stop.set()
    thread.join()


def test_servers_are_added_listed_and_removed(url: str) -> None:
    with BalancerClient(url, token=TOKEN) as client:
        client.add("cart", "127.0.0.1:9000", place=Coordinates(0, 1.5), region="Africa", health_path="/h")
        servers = client.add("cart", "[::1]:9000")
        assert [each.server for each in servers] == ["127.0.0.1:9000", "[::1]:9000"]
        assert (servers[0].latitude, servers[0].longitude, servers[0].region) == (0, 1.5, "Africa")
        assert (servers[0].health_path, servers[0].state) == ("/h", "up")
        assert client.services() == {"cart": servers}
        assert client.remove("cart", "[::1]:9000")
        assert not client.remove("cart", "[::1]:9000")
        assert [each.server for each in client.servers("cart")] == ["127.0.0.1:9000"]
        assert client.servers("nobody") == ()
        assert client.health().status == "ok"
        assert client.health().nginx == "1.22.1"


def test_what_can_not_be_is_refused_here_or_there(url: str) -> None:
    with BalancerClient(url, token=TOKEN) as client:
        with pytest.raises(InvalidInput, match="expected an IP address and a port"):
            client.add("cart", "cart:80")
        with pytest.raises(InvalidInput, match="the service '_' can't be"):
            client.add("_", "127.0.0.1:80")
        with pytest.raises(InvalidInput, match="is this balancer itself"):
            client.add("cart", "127.0.0.1:8080")
    with BalancerClient(url) as client, pytest.raises(InvalidInput, match="token"):
        client.services()


def test_a_balancer_that_is_away_is_said() -> None:
    with (
        BalancerClient("http://127.0.0.1:1") as client,
        pytest.raises(Retryable, match=r"the load balancer http://127\.0\.0\.1:1 does not answer"),
    ):
        client.services()
