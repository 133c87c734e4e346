"""The one HTTP server, and who may call it."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from microservo.errors import Unavailable
from microservo.runtime.http import LOOPBACK, LOOPBACK_6, HttpServer, guarded
from microservo.runtime.probe import is_healthy

TOKEN = "only-for-this-system"


async def hello(_: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


@pytest.fixture
def server() -> Iterator[HttpServer]:
    app = Starlette(routes=[Route("/change", hello, methods=["POST"]), Route("/healthz", hello)])
    with HttpServer(guarded(app, TOKEN), port=0, hosts=(LOOPBACK, LOOPBACK_6)) as server:
        yield server


def status(server: HttpServer, method: str, path: str, host: str = LOOPBACK, **headers: str) -> int:
    connection = http.client.HTTPConnection(host, server.port, timeout=5)
    try:
        connection.request(method, path, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_who_knows_the_token_may_change_things(server: HttpServer) -> None:
    assert status(server, "POST", "/change", Authorization=f"Bearer {TOKEN}") == 200


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", "Bearer \xe9"])
def test_who_does_not_know_the_token_is_refused(server: HttpServer, authorization: str) -> None:
    assert status(server, "POST", "/change", Authorization=authorization) == 401


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[::2]:80"]
)
def test_a_web_page_that_leads_a_name_of_its_own_to_the_loopback_is_refused(
    server: HttpServer, host: str
) -> None:
    assert status(server, "POST", "/change", Authorization=f"Bearer {TOKEN}", Host=host) == 403


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:9", "[::1]:9", "[::1]"])
def test_every_name_of_the_loopback_is_served(server: HttpServer, host: str) -> None:
    assert status(server, "POST", "/change", Authorization=f"Bearer {TOKEN}", Host=host) == 200


def test_health_needs_no_token(server: HttpServer) -> None:
    assert is_healthy(f"http://{LOOPBACK}:{server.port}")


@pytest.mark.skipif(not socket.has_ipv6, reason="this Python has no IPv6")
def test_ipv6_loopback_is_served_on_the_same_port(server: HttpServer) -> None:
    assert status(server, "GET", "/healthz", host=LOOPBACK_6) == 200


def test_a_port_that_is_taken_is_named(server: HttpServer) -> None:
    with pytest.raises(Unavailable, match=f"port {server.port} of 127.0.0.1 can't be listened on"):
        HttpServer(Starlette(), port=server.port)


def test_nobody_is_healthy_where_nobody_listens(server: HttpServer) -> None:
    server.close()
    assert not is_healthy(f"http://{LOOPBACK}:{server.port}")
