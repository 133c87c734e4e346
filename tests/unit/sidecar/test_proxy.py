"""The whole sidecar on real loopback sockets: each fault while it is in force, and nothing after.

Waits of a minute stand for "for ever": a test that passes quickly shows that recovery cut them short.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from microservo.adapters.ports import free_ports
from microservo.testing import eventually
from services.sidecar.connection import Connection
from services.sidecar.fault_set import FaultSet
from services.sidecar.faults import KINDS
from services.sidecar.traffic import Traffic
from tests.unit.sidecar.harness import PATIENCE_S, Instance, Sidecar

FOR_EVER_US = 60_000_000
Caller = http.client.HTTPConnection


def get(caller: Caller, path: str) -> tuple[int, bytes]:
    caller.request("GET", path)
    response = caller.getresponse()
    return response.status, response.read()


def elapsed_s(act: Callable[[], object]) -> float:
    began_s = time.monotonic()
    act()
    return time.monotonic() - began_s


def read_until(connection: socket.socket, ending: bytes) -> bytes:
    got = b""
    while not got.endswith(ending):
        chunk = connection.recv(65536)
        assert chunk, got
        got += chunk
    return got


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that sends back what it gets, and is not HTTP."""

    def serve(connection: socket.socket) -> None:
        with connection:
            while data := connection.recv(65536):
                connection.sendall(data)

    def accept() -> None:
        while not stopping.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            pool.submit(serve, connection)

    stopping = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(9) as pool:
        listener.settimeout(0.05)
        accepting = threading.Thread(target=accept)
        accepting.start()
        yield listener.getsockname()[1]
        stopping.set()
        accepting.join()


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("network-delay", {"latency_us": 300_000, "jitter_us": 0}),
        ("network-bandwidth", {"bytes_per_s": 400}),
        ("http-delay", {"delay_us": 300_000, "ratio": 1.0, "endpoint": "GetCart"}),
    ],
)
def test_what_delays_acts_on_a_connection_that_is_open_and_ends(
    sidecar: Sidecar, caller: Caller, kind: str, parameters: dict[str, Any]
) -> None:
    sidecar.apply(kind, **parameters)
    assert elapsed_s(lambda: get(caller, "/GetCart")) >= 0.2
    sidecar.recover()
    assert get(caller, "/GetCart") == (200, b"/GetCart")
    assert sidecar.admin("GET", "/faults") == (200, {"faults": []})


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("network-delay", {"latency_us": FOR_EVER_US, "jitter_us": 0}),
        ("network-bandwidth", {"bytes_per_s": 1}),
        ("network-loss", {"ratio": 1.0}),
        ("http-delay", {"delay_us": FOR_EVER_US, "ratio": 1.0, "endpoint": ""}),
    ],
)
def test_recovery_sends_on_what_was_held_back(
    sidecar: Sidecar, caller: Caller, kind: str, parameters: dict[str, Any]
) -> None:
    sidecar.apply(kind, **parameters)
    caller.request("GET", "/bytes/100000")
    eventually(lambda: any(fault.hits for fault in sidecar.proxy.faults), what="the fault to act")
    assert "acted on 0" not in sidecar.recover()
    response = caller.getresponse()
    assert response.read() == bytes(100_000)


def test_loss_delays_by_a_retransmission_timeout(sidecar: Sidecar, caller: Caller) -> None:
    sidecar.apply("network-loss", ratio=0.25)
    assert elapsed_s(lambda: [get(caller, "/GetCart") for _ in range(15)]) >= 0.2
    sidecar.recover()
    assert get(caller, "/GetCart") == (200, b"/GetCart")


def test_reset_is_a_real_rst(sidecar: Sidecar, caller: Caller, instance: Instance) -> None:
    sidecar.apply("connection-reset", ratio=1.0)
    with pytest.raises(ConnectionResetError):
        get(caller, "/GetCart")
    assert instance.seen == ["/warm"]
    sidecar.recover()
    caller.close()
    assert get(caller, "/GetCart") == (200, b"/GetCart")


def test_reset_of_a_share_leaves_the_others_alone(sidecar: Sidecar) -> None:
    def one(number: int) -> bool:
        caller = Caller("127.0.0.1", sidecar.port, timeout=PATIENCE_S)
        try:
            return get(caller, f"/{number}") == (200, f"/{number}".encode())
        except ConnectionResetError:
            return False
        finally:
            caller.close()

    sidecar.apply("connection-reset", ratio=0.5)
    with ThreadPoolExecutor(8) as pool:
        passed = sum(pool.map(one, range(100)))
    assert 20 < passed < 80


def test_abort_answers_in_the_place_of_the_instance(
    sidecar: Sidecar, caller: Caller, instance: Instance
) -> None:
    sidecar.apply("http-abort", status=503, ratio=1.0, endpoint="GetCart")
    assert get(caller, "/GetCart?user=1") == (503, b"Service Unavailable")
    assert get(caller, "/EmptyCart") == (200, b"/EmptyCart")
    sidecar.recover()
    assert get(caller, "/GetCart") == (200, b"/GetCart")
    assert instance.seen == ["/warm", "/EmptyCart", "/GetCart"]


def test_abort_swallows_the_body_and_keeps_the_connection(
    sidecar: Sidecar, caller: Caller, instance: Instance
) -> None:
    sidecar.apply("http-abort", status=500, ratio=1.0, endpoint="AddItem")
    for body in (bytes(200_000), iter([b"GET / HTTP/1.1\r\n\r\n", b"more"])):
        caller.request("POST", "/AddItem", body)
        response = caller.getresponse()
        assert (response.status, response.read()) == (500, b"Internal Server Error")
    assert get(caller, "/GetCart") == (200, b"/GetCart")
    assert instance.seen == ["/warm", "/GetCart"]


def test_answers_keep_the_order_of_pipelined_requests(sidecar: Sidecar, raw: socket.socket) -> None:
    sidecar.apply("http-abort", status=503, ratio=1.0, endpoint="b")
    requests = [f"GET /{name} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for name in "abcabc"]
    raw.sendall(b"".join(requests) + b"GET /last HTTP/1.1\r\nHost: x\r\n\r\n")
    answers = read_until(raw, b"\r\n\r\n/last")
    codes = [part[:3] for part in answers.split(b"HTTP/1.1 ")[1:]]
    assert codes == [b"200", b"503", b"200"] * 2 + [b"200"]


def test_head_and_its_missing_body_are_understood(sidecar: Sidecar, caller: Caller) -> None:
    sidecar.apply("http-abort", status=503, ratio=1.0, endpoint="GetCart")
    caller.request("HEAD", "/a")
    assert caller.getresponse().read() == b""
    assert get(caller, "/GetCart")[0] == 503


def test_two_faults_at_once_add_up_and_end_one_by_one(sidecar: Sidecar, caller: Caller) -> None:
    sidecar.apply("http-abort", "abort", status=503, ratio=1.0, endpoint="")
    sidecar.apply("network-delay", "slow", latency_us=200_000, jitter_us=0)
    sidecar.apply("http-delay", "slower", delay_us=200_000, ratio=1.0, endpoint="")
    status = 0

    def call() -> None:
        nonlocal status
        status, _ = get(caller, "/GetCart")

    assert elapsed_s(call) >= 0.4
    assert status == 503
    sidecar.recover("abort")
    assert elapsed_s(call) >= 0.4
    assert status == 200
    sidecar.recover("slow")
    assert elapsed_s(call) >= 0.2
    sidecar.recover("slower")
    assert get(caller, "/GetCart") == (200, b"/GetCart")


def test_an_abort_that_ends_while_its_request_is_held_lets_it_through(
    sidecar: Sidecar, caller: Caller
) -> None:
    sidecar.apply("http-abort", "abort", status=503, ratio=1.0, endpoint="")
    sidecar.apply("http-delay", "slow", delay_us=FOR_EVER_US, ratio=1.0, endpoint="")
    caller.request("GET", "/GetCart")
    eventually(lambda: any(fault.hits for fault in sidecar.proxy.faults), what="the request to be held")
    sidecar.recover("abort")
    sidecar.recover("slow")
    assert caller.getresponse().status == 200


def test_every_connection_is_hit_at_once(sidecar: Sidecar) -> None:
    """Sixteen callers wait side by side, not one behind the other."""
    sidecar.apply("network-delay", latency_us=500_000, jitter_us=0)

    def one(number: int) -> tuple[float, tuple[int, bytes]]:
        caller = Caller("127.0.0.1", sidecar.port, timeout=PATIENCE_S)
        try:
            began_s = time.monotonic()
            answer = get(caller, f"/{number}")
            return time.monotonic() - began_s, answer
        finally:
            caller.close()

    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(one, range(16)))
    assert [answer for _, answer in results] == [(200, f"/{n}".encode()) for n in range(16)]
    assert all(took_s >= 0.5 for took_s, _ in results)


def test_bytes_stay_whole_and_in_order_while_faults_come_and_go(
    echo: int, sidecar_of: Callable[[int], Sidecar]
) -> None:
    sidecar = sidecar_of(echo)
    sent = b"".join(hashlib.sha256(str(n).encode()).digest() for n in range(60_000))
    done = threading.Event()

    def disturb() -> None:
        turn = 0
        while not done.is_set():
            turn += 1
            sidecar.apply("network-delay", f"delay{turn}", latency_us=20_000, jitter_us=20_000)
            sidecar.apply("network-loss", f"loss{turn}", ratio=0.01)
            sidecar.apply("network-bandwidth", f"narrow{turn}", bytes_per_s=3_000_000)
            done.wait(0.05)
            for name in ("delay", "loss", "narrow"):
                sidecar.recover(f"{name}{turn}")

    with socket.create_connection(("127.0.0.1", sidecar.port), timeout=PATIENCE_S) as connection:
        disturbing = threading.Thread(target=disturb)
        disturbing.start()
        sending = threading.Thread(target=connection.sendall, args=(sent,))
        sending.start()
        got = bytearray()
        while len(got) < len(sent):
            got += connection.recv(65536)
        done.set()
        sending.join()
        disturbing.join()
    assert hashlib.sha256(got).digest() == hashlib.sha256(sent).digest()


def test_a_stream_that_is_not_http_can_be_reset(echo: int, sidecar_of: Callable[[int], Sidecar]) -> None:
    sidecar = sidecar_of(echo)
    with socket.create_connection(("127.0.0.1", sidecar.port), timeout=PATIENCE_S) as connection:
        connection.sendall(b"\x00hello")
        assert read_until(connection, b"hello") == b"\x00hello"
        sidecar.apply("connection-reset", ratio=1.0)
        connection.sendall(b"again")
        with pytest.raises(ConnectionResetError):
            connection.recv(100)


def test_half_closed_stream_still_gets_its_answer(echo: int, sidecar_of: Callable[[int], Sidecar]) -> None:
    sidecar = sidecar_of(echo)
    with socket.create_connection(("127.0.0.1", sidecar.port), timeout=PATIENCE_S) as connection:
        connection.sendall(b"\x00hello")
        connection.shutdown(socket.SHUT_WR)
        assert read_until(connection, b"hello") == b"\x00hello"
        assert connection.recv(1) == b""
    eventually(lambda: sidecar.proxy.open_connections == 0, what="the connection to be forgotten")
    assert sidecar.proxy.traffic.resets == 0


def test_caller_of_a_dead_instance_gets_an_error(sidecar_of: Callable[[int], Sidecar]) -> None:
    sidecar = sidecar_of(free_ports(1)[0])
    address = ("127.0.0.1", sidecar.port)
    # The reset may come while the caller still connects.
    with (
        pytest.raises(ConnectionResetError),
        socket.create_connection(address, timeout=PATIENCE_S) as connection,
    ):
        connection.recv(1)
    assert sidecar.proxy.traffic.refusals == 1


def test_a_hung_instance_hangs_its_caller_who_may_leave(sidecar_of: Callable[[int], Sidecar]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hung:
        sidecar = sidecar_of(hung.getsockname()[1])
        caller = Caller("127.0.0.1", sidecar.port, timeout=0.3)
        with pytest.raises(TimeoutError):
            get(caller, "/GetCart")
        caller.close()
        connection, _ = hung.accept()
        with connection:
            assert b"GET /GetCart" in connection.recv(1000)
        eventually(lambda: sidecar.proxy.open_connections == 0, what="the caller to be forgotten")


def test_back_pressure_bounds_what_a_slow_link_holds(sidecar_of: Callable[[int], Sidecar]) -> None:
    size, head = 64_000_000, b"HTTP/1.1 200 OK\r\nContent-Length: 64000000\r\n\r\n"
    with socket.create_server(("127.0.0.1", 0)) as instance, ThreadPoolExecutor() as threads:
        sidecar = sidecar_of(instance.getsockname()[1])
        sidecar.apply("network-bandwidth", bytes_per_s=1)
        caller = http.client.HTTPConnection("127.0.0.1", sidecar.port, timeout=PATIENCE_S)
        caller.request("GET", "/")
        connection, _ = instance.accept()
        with connection:
            left = memoryview(head + bytes(size))
            connection.settimeout(0.5)
            # What the kernel's buffers and the sidecar hold is sent; then a while brings nothing more.
            with contextlib.suppress(TimeoutError):
                while left:
                    left = left[connection.send(left) :]
            assert len(left) > size // 2
            sidecar.recover()
            connection.settimeout(PATIENCE_S)
            sending = threads.submit(connection.sendall, left)
            assert caller.getresponse().read() == bytes(size)
            sending.result()
        caller.close()


class GoneTransport(asyncio.Transport):
    """Of a socket whose other side has gone, which the loop has not reported yet."""

    def is_closing(self) -> bool:
        return False

    def write_eof(self) -> None:
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")


def test_a_stream_that_ends_when_its_reader_has_just_gone_breaks_nothing() -> None:
    async def end() -> bool:
        faults = FaultSet(instance="cart-0", seed=7)
        connection = Connection(faults, Traffic(), upstream=("127.0.0.1", 1), closed=lambda _: None)
        connection.caller.transport = GoneTransport()
        connection.caller.end()
        return connection.caller.ended

    assert asyncio.run(end())


# By figures of several connections, or (http-patch, which changes what an answer says) by none: test_answers.
ELSEWHERE = {
    "connection-limit",
    "http-patch",
    "http-truncate",
    "network-partition",
    "port-refuse",
    "region-cut",
}
NETWORK_FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "network-delay": ({"latency_us": 60_000, "jitter_us": 0}, "request_ms"),
    "network-loss": ({"ratio": 0.2}, "request_ms"),
    "network-bandwidth": ({"bytes_per_s": 10_000}, "request_ms"),
    "http-delay": ({"delay_us": 60_000, "ratio": 1.0, "endpoint": ""}, "request_ms"),
    "http-abort": ({"status": 503, "ratio": 1.0, "endpoint": ""}, "answers_5xx_total"),
    "connection-reset": ({"ratio": 1.0}, "resets_total"),
    "connection-abort": ({"endpoint": ""}, "resets_total"),
    "http-replace": ({"status": 503, "endpoint": ""}, "answers_5xx_total"),
    "network-corrupt": ({"ratio": 0.2}, "request_ms"),
    "network-reorder": ({"latency_us": 60_000, "ratio": 0.1, "gap": 2}, "request_ms"),
    "slow-close": ({"delay_us": 60_000}, "request_ms"),
}


def test_every_kind_of_the_sidecar_has_a_figure_that_shows_it() -> None:
    assert NETWORK_FAULTS.keys() | ELSEWHERE == set(KINDS)


@pytest.mark.parametrize("kind", NETWORK_FAULTS)
def test_a_fault_of_the_network_shows_in_the_figures_of_its_own_service(sidecar: Sidecar, kind: str) -> None:
    parameters, figure = NETWORK_FAULTS[kind]
    calm = figures_over(sidecar, requests=4)
    sidecar.apply(kind, **parameters)
    faulty = figures_over(sidecar, requests=4)
    sidecar.recover()
    if figure == "request_ms":
        assert faulty[figure] > calm[figure] + 20
    else:
        assert (calm[figure], faulty[figure]) == (0, 4)
    assert figures_over(sidecar, requests=4)[figure] == pytest.approx(calm[figure], abs=20)
    assert sidecar.proxy.traffic.active == 0


def figures_over(sidecar: Sidecar, *, requests: int) -> dict[str, float]:
    """What these requests, each on a connection of its own, add to the page of metrics."""
    before = figures(sidecar)
    for _ in range(requests):
        caller = Caller("127.0.0.1", sidecar.port, timeout=PATIENCE_S)
        with contextlib.suppress(ConnectionError):
            get(caller, "/bytes/1000")
        caller.close()
    eventually(lambda: figures(sidecar)["connections_open"] == 0, what="the connections to be over")
    added = {name: value - before[name] for name, value in figures(sidecar).items()}
    answers = added["request_seconds_count"]
    return {**added, "request_ms": 1000 * added["request_seconds_sum"] / max(1, answers)}


def figures(sidecar: Sidecar) -> dict[str, float]:
    """The page of metrics without its buckets."""
    page = str(sidecar.admin("GET", "/metrics")[1])
    rows = (line.split() for line in page.splitlines() if not line.startswith("#") and "{" not in line)
    return {name.removeprefix("sidecar_"): float(value) for name, value in rows}


def test_the_figures_do_not_say_that_a_fault_is_in_force(sidecar: Sidecar) -> None:
    def page() -> str:
        return str(sidecar.admin("GET", "/metrics")[1])

    calm = page()
    sidecar.apply("network-delay", latency_us=1000, jitter_us=0)
    sidecar.apply("http-abort", "f2", status=503, ratio=1.0, endpoint="")
    assert page() == calm
