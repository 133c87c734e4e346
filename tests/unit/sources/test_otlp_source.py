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
