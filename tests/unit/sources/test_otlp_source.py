"""OTLP/HTTP on the loopback interface: who can reach it, and what it costs to wait."""

from __future__ import annotations

import http.client
import socket
import threading

import pytest
from otlp_requests import T0_US, span, traces

from microservo.runtime.http import LOOPBACK, LOOPBACK_6, listen
from microservo.sources.inbox import Inbox
from microservo.sources.otlp.intake import ReceiverLimits
from microservo.sources.otlp.source import OtlpSource
from microservo.testing import eventually

BODY = traces([span()]).SerializeToString()


def inbox(records: int) -> Inbox:
    return Inbox("test", records, gather_s=0, enough_records=records)


def status_of(port: int, host: str = LOOPBACK, body: bytes = b"", **headers: str) -> int:
    connection = http.client.HTTPConnection(host, port, timeout=60)
    try:
        connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf", **headers})
        return connection.getresponse().status
    finally:
        connection.close()


def has_ipv6() -> bool:
    listeners = listen(0, (LOOPBACK, LOOPBACK_6))
    for each in listeners:
        each.close()
    return len(listeners) == 2


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no address ::1")
def test_a_sender_whose_localhost_is_ipv6_is_answered() -> None:
    source = OtlpSource(0, 0)
    source.start(inbox(10))
    try:
        assert [status_of(source.port, host) for host in (LOOPBACK, LOOPBACK_6)] == [200, 200]
    finally:
        source.stop()


def test_a_web_page_cannot_send() -> None:
    source = OtlpSource(0, 0)
    source.start(inbox(10))
    try:
        assert status_of(source.port, Host="evil.example") == 403
    finally:
        source.stop()


def preflight(port: int, origin: str) -> dict[str, str]:
    """What a browser is told that asks whether a page of an origin may send."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=60)
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    try:
        connection.request("OPTIONS", "/v1/traces", headers=asked)
        return {name.lower(): value for name, value in connection.getresponse().getheaders()}
    finally:
        connection.close()


def test_web_pages_may_send_only_from_the_origins_that_are_set() -> None:
    page = "https://shop.example"
    for origins, allowed in (((), None), ((page,), page), (("https://other.example",), None), (("*",), "*")):
        source = OtlpSource(0, 0, ReceiverLimits(cors_origins=origins))
        source.start(inbox(10))
        try:
            assert preflight(source.port, page).get("access-control-allow-origin") == allowed
            connection = http.client.HTTPConnection(LOOPBACK, source.port, timeout=60)
            headers = {"Content-Type": "application/x-protobuf", "Origin": page}
            connection.request("POST", "/v1/traces", b"", headers)
            assert connection.getresponse().getheader("Access-Control-Allow-Origin") == allowed
            connection.close()
        finally:
            source.stop()


def test_other_machines_may_send_where_the_address_lets_them() -> None:
    source = OtlpSource(0, 0, host="0.0.0.0")
    source.start(inbox(10))
    try:
        assert status_of(source.port, Host="lab-7.example:4318") == 200
    finally:
        source.stop()


def sent_by_hand(port: int, *parts: bytes) -> bytes:
    """The beginning of what comes back after each part, for a client of no library."""
    answers = b""
    with socket.create_connection((LOOPBACK, port), timeout=60) as client:
        for part in parts:
            client.sendall(part)
            answers += client.recv(4096)
    return answers


HEAD = b"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-protobuf\r\n"


def test_a_sender_that_waits_for_100_continue_is_told_to_go_on() -> None:
    source = OtlpSource(0, 0)
    source.start(inbox(10))
    try:
        head = HEAD + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        answers = sent_by_hand(source.port, head, b"\x0a\x00")
    finally:
        source.stop()
    assert answers.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


def test_a_body_in_chunks_and_the_next_on_the_same_connection_are_read() -> None:
    source = OtlpSource(0, 0)
    source.start(inbox(10))
    request = HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n\x0a\r\n1\r\n\x00\r\n0\r\n\r\n"
    try:
        answers = sent_by_hand(source.port, request, request)
    finally:
        source.stop()
    assert answers.count(b"HTTP/1.1 200 OK") == 2


def test_hundreds_of_senders_wait_for_kafka_at_once() -> None:
    """Each would take a thread if it waited in one."""
    count = 300
    waiting = inbox(10_000)
    source = OtlpSource(0, 0, ReceiverLimits(answer_timeout_s=60), clock=lambda: T0_US + 1_000_000)
    source.start(waiting)
    threads_before = threading.active_count()
    connections = [http.client.HTTPConnection(LOOPBACK, source.port, timeout=60) for _ in range(count)]
    try:
        for connection in connections:
            connection.request("POST", "/v1/traces", BODY, {"Content-Type": "application/x-protobuf"})
        eventually(lambda: waiting.records == count, what="all requests in the queue")
        assert threading.active_count() <= threads_before + 2
        waiting.settle(waiting.drain(0))
        assert {connection.getresponse().status for connection in connections} == {200}
    finally:
        for connection in connections:
            connection.close()
        source.stop()


def test_bodies_that_together_take_too_much_memory_are_told_to_come_back() -> None:
    source = OtlpSource(0, 0, ReceiverLimits(body_bytes=100_000, answer_timeout_s=0.1))
    source.start(inbox(10))
    unfinished = [socket.create_connection((LOOPBACK, source.port)) for _ in range(2)]
    head = (
        b"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-protobuf\r\n"
        b"Content-Length: 100000\r\n\r\n"
    )
    try:
        for each in unfinished:
            each.sendall(head + bytes(99_999))
        eventually(lambda: status_of(source.port, body=bytes(90_000)) == 429, what="a refusal")
        assert status_of(source.port) == 200
        for each in unfinished:
            each.close()
        eventually(lambda: status_of(source.port, body=bytes(90_000)) != 429, what="room again")
    finally:
        source.stop()
