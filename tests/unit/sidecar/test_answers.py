"""Faults of answers and of connections on real sockets: while they are in force, and nothing after."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from microservo.testing import eventually
from tests.unit.sidecar.harness import PATIENCE_S, Instance, Sidecar

FOR_EVER_US = 60_000_000
Caller = http.client.HTTPConnection


def get(caller: Caller, path: str, peer: str = "") -> tuple[int, bytes]:
    caller.request("GET", path, headers={"User-Agent": peer} if peer else {})
    response = caller.getresponse()
    return response.status, response.read()


@pytest.fixture
def new_caller(sidecar: Sidecar) -> Iterator[Callable[..., Caller]]:
    """Makes a caller with a connection of its own."""
    with contextlib.ExitStack() as opened:

        def make(timeout_s: float = PATIENCE_S) -> Caller:
            caller = Caller("127.0.0.1", sidecar.port, timeout=timeout_s)
            opened.callback(caller.close)
            return caller

        yield make


def acted(sidecar: Sidecar) -> list[int | None]:
    return [fault.hits for fault in sidecar.proxy.faults]


def test_a_replaced_status_leaves_the_body_and_the_connection_as_they_are(
    sidecar: Sidecar, caller: Caller, instance: Instance
) -> None:
    sidecar.apply("http-replace", status=503, endpoint="GetCart")
    assert get(caller, "/GetCart") == (503, b"/GetCart")
    assert get(caller, "/AddItem") == (200, b"/AddItem")
    assert instance.seen == ["/warm", "/GetCart", "/AddItem"]
    assert acted(sidecar) == [1]
    assert sidecar.proxy.traffic.answers[5] == 1
    sidecar.recover()
    assert get(caller, "/GetCart") == (200, b"/GetCart")


def test_of_two_statuses_the_first_wins_and_an_unknown_one_has_a_reason(
    sidecar: Sidecar, caller: Caller
) -> None:
    sidecar.apply("http-replace", "f1", status=599, endpoint="")
    sidecar.apply("http-replace", "f2", status=404, endpoint="")
    assert get(caller, "/GetCart")[0] == 599
    assert acted(sidecar) == [1, 0]
    sidecar.recover("f1")
    assert get(caller, "/GetCart")[0] == 404


def test_a_head_request_has_its_status_replaced_too(sidecar: Sidecar, caller: Caller) -> None:
    sidecar.apply("http-replace", status=500, endpoint="")
    caller.request("HEAD", "/")
    response = caller.getresponse()
    assert (response.status, response.read()) == (500, b"")
    assert get(caller, "/GetCart") == (500, b"/GetCart")


def test_a_patched_answer_has_another_value_and_the_right_length(sidecar: Sidecar, caller: Caller) -> None:
    sidecar.apply("http-patch", field="price", value="cheap", endpoint="")
    assert get(caller, "/json") == (200, b'{"endpoint": "json", "price": "cheap"}')
    # What is no object passes as it is.
    assert get(caller, "/GetCart") == (200, b"/GetCart")
    assert acted(sidecar) == [1]
    sidecar.apply("http-patch", "f2", field="stock", value="0", endpoint="json")
    assert get(caller, "/json") == (200, b'{"endpoint": "json", "price": "cheap", "stock": "0"}')
    sidecar.recover()
    sidecar.recover("f2")
    assert get(caller, "/json") == (200, b'{"endpoint": "json", "price": 5}')


def test_what_is_too_long_to_be_patched_passes_whole(sidecar: Sidecar, caller: Caller) -> None:
    sidecar.apply("http-patch", field="price", value="cheap", endpoint="")
    assert get(caller, "/bytes/1100000") == (200, bytes(1_100_000))
    assert acted(sidecar) == [0]


@pytest.mark.parametrize("also", [{}, {"latency_us": 20_000, "jitter_us": 0}])
def test_a_truncated_answer_ends_after_so_many_bytes(
    sidecar: Sidecar, caller: Caller, also: dict[str, int]
) -> None:
    if also:
        sidecar.apply("network-delay", "slow", **also)
    sidecar.apply("http-truncate", after_bytes=5000, ratio=1.0)
    caller.request("GET", "/bytes/100000")
    response = caller.getresponse()
    assert (response.status, response.headers["Content-Length"]) == (200, "100000")
    with pytest.raises(http.client.IncompleteRead) as cut:
        response.read()
    assert cut.value.partial == bytes(5000)
    assert acted(sidecar)[-1:] == [1]
    caller.close()
    assert get(caller, "/bytes/5000") == (200, bytes(5000)), "one that is no longer than that is whole"
    sidecar.recover()
    assert get(caller, "/bytes/100000") == (200, bytes(100_000))


def test_an_answer_can_be_cut_before_its_first_byte(sidecar: Sidecar, caller: Caller) -> None:
    sidecar.apply("http-truncate", after_bytes=0, ratio=1.0)
    with pytest.raises(http.client.IncompleteRead):
        get(caller, "/GetCart")
    assert sidecar.proxy.traffic.answers[2] == 1, "the warm-up alone; an answer that was cut counts as none"


def test_recovery_takes_back_a_cut_that_was_still_to_come(sidecar: Sidecar, caller: Caller) -> None:
    sidecar.apply("network-delay", "slow", latency_us=FOR_EVER_US, jitter_us=0)
    sidecar.apply("http-truncate", after_bytes=10, ratio=1.0)
    caller.request("GET", "/bytes/50000")
    eventually(lambda: acted(sidecar)[-1], what="the answer to be cut")
    sidecar.recover()
    sidecar.recover("slow")
    assert caller.getresponse().read() == bytes(50_000)


def test_a_slow_close_lets_all_but_the_last_byte_through(sidecar: Sidecar, raw: socket.socket) -> None:
    sidecar.apply("slow-close", delay_us=FOR_EVER_US)
    raw.sendall(b"GET /GetCart HTTP/1.1\r\nHost: a\r\n\r\n")
    got = b""
    while not got.endswith(b"/GetCar"):
        got += raw.recv(65536)
    raw.settimeout(0.2)
    with pytest.raises(TimeoutError):
        raw.recv(1)
    raw.settimeout(PATIENCE_S)
    sidecar.recover()
    assert raw.recv(65536) == b"t"


def test_a_slow_close_holds_the_end_of_a_connection(sidecar: Sidecar, raw: socket.socket) -> None:
    sidecar.apply("slow-close", delay_us=FOR_EVER_US)
    raw.sendall(b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    eventually(lambda: acted(sidecar) == [1], what="the answer")
    sidecar.recover()
    got = b""
    while chunk := raw.recv(65536):
        got += chunk
    assert got.endswith(b"/a")


def test_an_aborted_connection_is_reset_for_the_endpoint_alone(
    sidecar: Sidecar, caller: Caller, instance: Instance
) -> None:
    sidecar.apply("connection-abort", endpoint="GetCart")
    assert get(caller, "/AddItem") == (200, b"/AddItem")
    with pytest.raises(ConnectionResetError):
        get(caller, "/GetCart")
    assert instance.seen == ["/warm", "/AddItem"]


def test_a_closed_port_refuses_and_is_open_again(sidecar: Sidecar, caller: Caller) -> None:
    status, answer = sidecar.admin("PUT", "/faults/f1", '{"kind": "port-refuse", "parameters": {}}')
    assert (status, answer["acted"]) == (200, None)
    assert "the port is closed" in answer["evidence"]
    with pytest.raises((ConnectionResetError, http.client.RemoteDisconnected)):
        get(caller, "/GetCart")
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", sidecar.port), timeout=PATIENCE_S)
    sidecar.apply("port-refuse", "f2")
    sidecar.recover()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", sidecar.port), timeout=PATIENCE_S)
    assert "open again" in sidecar.recover("f2")
    caller.close()
    assert get(caller, "/GetCart") == (200, b"/GetCart")


def test_beyond_a_limit_connections_are_reset_and_the_oldest_stay(
    sidecar: Sidecar, caller: Caller, new_caller: Callable[..., Caller]
) -> None:
    young = new_caller()
    assert get(young, "/a") == (200, b"/a")
    sidecar.apply("connection-limit", connections=1)
    with pytest.raises((ConnectionResetError, http.client.RemoteDisconnected)):
        get(young, "/b")
    young.close()
    assert get(caller, "/c") == (200, b"/c")
    for _ in range(3):
        late = new_caller()
        with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
            get(late, "/d")
        late.close()
    eventually(lambda: acted(sidecar) == [4], what="the refusals to be counted")
    assert sidecar.proxy.traffic.refusals == 3
    caller.close()
    eventually(lambda: sidecar.proxy.open_connections == 0, what="the place to be free")
    assert get(young, "/e") == (200, b"/e"), "a place that was given up is there for the next"
    sidecar.recover()
    assert get(new_caller(), "/f") == (200, b"/f")


def test_a_partition_holds_one_peer_and_nobody_else(
    sidecar: Sidecar, caller: Caller, instance: Instance, new_caller: Callable[..., Caller]
) -> None:
    assert get(caller, "/a", "front") == (200, b"/a")
    sidecar.apply("network-partition", peer="front")
    other = new_caller()
    assert get(other, "/b", "checkout") == (200, b"/b")
    impatient = new_caller(timeout_s=0.2)
    with pytest.raises(TimeoutError):
        get(impatient, "/c", "front")
    impatient.close()
    eventually(lambda: sidecar.proxy.open_connections == 2, what="its connection to be given up")
    answers: list[tuple[int, bytes]] = []
    waiting = threading.Thread(target=lambda: answers.append(get(caller, "/d", "front")))
    waiting.start()
    eventually(lambda: acted(sidecar) == [2], what="the second request to be held")
    assert "acted on 2" in sidecar.recover()
    waiting.join(PATIENCE_S)
    assert answers == [(200, b"/d")]
    assert "/c" not in instance.seen, "who gave up before is not served"


def test_an_answer_on_its_way_to_the_peer_is_held_too(sidecar_of: Callable[[int], Sidecar]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sidecar = sidecar_of(listener.getsockname()[1])
        with socket.create_connection(("127.0.0.1", sidecar.port), timeout=PATIENCE_S) as peer:
            peer.sendall(b"GET /a HTTP/1.1\r\nUser-Agent: front\r\n\r\n")
            accepted, _ = listener.accept()
            with accepted:
                assert accepted.recv(65536)
                sidecar.apply("network-partition", peer="front")
                accepted.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                eventually(lambda: acted(sidecar) == [1], what="the answer to be held")
                peer.settimeout(0.1)
                with contextlib.suppress(TimeoutError):
                    pytest.fail(f"{peer.recv(65536)!r} got through")
                peer.settimeout(PATIENCE_S)
                sidecar.recover()
                assert peer.recv(65536).startswith(b"HTTP/1.1 200")


def test_delay_towards_one_caller_spares_the_others(
    sidecar: Sidecar, caller: Caller, new_caller: Callable[..., Caller]
) -> None:
    sidecar.apply("network-delay", latency_us=FOR_EVER_US, jitter_us=0, peer="front")
    assert get(caller, "/a", "checkout") == (200, b"/a")
    impatient = new_caller(timeout_s=0.2)
    with pytest.raises(TimeoutError):
        get(impatient, "/b", "front")
    impatient.close()
