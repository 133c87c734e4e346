from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.unit.sidecar.harness import PATIENCE_S, Instance, Sidecar


@pytest.fixture
def instance() -> Iterator[Instance]:
    with Instance() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def sidecar_of() -> Iterator[Callable[[int], Sidecar]]:
    made: list[Sidecar] = []

    def make(upstream_port: int) -> Sidecar:
        made.append(Sidecar(upstream_port))
        return made[-1]

    yield make
    for sidecar in made:
        sidecar.close()


@pytest.fixture
def sidecar(instance: Instance, sidecar_of: Callable[[int], Sidecar]) -> Sidecar:
    return sidecar_of(instance.server_address[1])


@pytest.fixture
def caller(sidecar: Sidecar) -> Iterator[http.client.HTTPConnection]:
    """A keep-alive connection that is already in use."""
    connection = http.client.HTTPConnection("127.0.0.1", sidecar.port, timeout=PATIENCE_S)
    connection.request("GET", "/warm")
    assert connection.getresponse().read() == b"/warm"
    yield connection
    connection.close()


@pytest.fixture
def raw(sidecar: Sidecar) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", sidecar.port), timeout=PATIENCE_S) as connection:
        yield connection
