"""Bodies that are refused as a whole: what the sender hears, what is kept, what is counted."""

from __future__ import annotations

import gzip
import http.client
import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # it has stubs but no py.typed
from otlp_requests import gauge, logs, metrics, span, traces
from prometheus_client import REGISTRY

from microservo.adapters.otlp.answers import Refusal
from microservo.sources.otlp.intake import undecodable
from microservo.sources.otlp.refusals import Refusals
from schemas.catalogue import MAX_MESSAGE_BYTES
from tests.unit.telemetry_collector.harness import PATIENCE_S, Running, Start

LETTERS = "telemetry-traces-dlq"


def refused(reason: str, topic: str = "telemetry-traces") -> float:
    """How many bodies were refused so far."""
    labels = {"topic": topic, "reason": reason}
    return REGISTRY.get_sample_value("microservo_refused_bodies_total", labels) or 0.0


def told(running: Running, body: bytes, *, encoding: str | None = None) -> Status:
    """What a sender of spans hears, which must be 413."""
    answer = running.send("/v1/traces", body, encoding=encoding)
    assert (answer.status, answer.headers["Content-Type"]) == (413, "application/x-protobuf")
    return Status.FromString(answer.body)


@contextmanager
def connected(running: Running) -> Iterator[http.client.HTTPConnection]:
    """A request for spans in protobuf, begun; nothing may be on its way when the collector closes it."""
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=PATIENCE_S)
    try:
        connection.putrequest("POST", "/v1/traces")
        connection.putheader("Content-Type", "application/x-protobuf")
        yield connection
    finally:
        connection.close()


def test_a_body_too_large_to_be_read_is_counted_and_told(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    before = refused("unread")
    with start(otlp_body_bytes=100_000) as running, connected(running) as connection:
        connection.putheader("Content-Length", "100001")
        connection.endheaders()
        answer = connection.getresponse()
        heard = Status.FromString(answer.read())
        assert running.messages(LETTERS) == []
    reason = "body of 100001 bytes is larger than 100000 bytes; send smaller batches"
    assert (answer.status, heard.code, heard.message) == (413, 3, reason)
    assert answer.getheader("Connection") == "close"
    assert refused("unread") == before + 1
    assert f"traces refused (unread): {reason}" in caplog.messages


def test_a_body_in_chunks_that_grows_too_large_is_counted(start: Start) -> None:
    before = refused("unread")
    with start(otlp_body_bytes=100_000) as running, connected(running) as connection:
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        connection.send(b"20000\r\n" + bytes(100_000))
        connection.send(bytes(1))
        answer = connection.getresponse()
        heard = Status.FromString(answer.read())
    assert (answer.status, heard.code) == (413, 3)
    assert refused("unread") == before + 1


def test_a_body_of_just_the_limit_is_read(start: Start) -> None:
    body = traces([span(name="x" * 200)] * 300).SerializeToString()
    with start(otlp_body_bytes=len(body)) as running:
        assert running.send("/v1/traces", body).status == 200


def test_a_gzip_bomb_is_kept_with_its_packed_bytes_and_counted(start: Start) -> None:
    before = refused("too_large")
    bomb = gzip.compress(bytes(10_000_000))
    with start(otlp_body_bytes=100_000) as running:
        heard = told(running, bomb, encoding="gzip")
        (letter,) = running.messages(LETTERS)
    assert letter.value == bomb
    assert letter.header("content-type") == b"application/x-protobuf; encoding=gzip"
    assert letter.header("dlq_reason") == heard.message.encode()
    assert refused("too_large") == before + 1


def test_a_body_of_too_many_records_is_kept_and_counted(start: Start) -> None:
    before = refused("too_many_records")
    body = traces([span()] * 101).SerializeToString()
    with start(otlp_body_records=100) as running:
        heard = told(running, body)
        (letter,) = running.messages(LETTERS)
        assert running.send("/v1/logs", logs([]).SerializeToString()).status == 200
    assert heard.message == "body holds more than 100 records; send smaller batches"
    assert letter.value == body
    assert refused("too_many_records") == before + 1


def test_a_body_that_cannot_be_read_is_counted(start: Start) -> None:
    before = refused("invalid", "telemetry-metrics")
    with start() as running:
        assert running.send("/v1/metrics", metrics([gauge()]).SerializeToString()[:-1]).status == 400
    assert refused("invalid", "telemetry-metrics") == before + 1


def test_of_a_body_larger_than_a_message_the_beginning_is_kept() -> None:
    raw = random.Random(7).randbytes(MAX_MESSAGE_BYTES + 1)
    body = undecodable("traces", raw, "application/json", "it is no JSON").undecodable
    assert body is not None
    assert body.raw == raw[:MAX_MESSAGE_BYTES]
    assert body.reason == f"it is no JSON (the beginning of {MAX_MESSAGE_BYTES + 1} bytes)"


def test_the_log_has_a_line_a_minute_for_each_signal_and_reason(caplog: pytest.LogCaptureFixture) -> None:
    now_s = [5.0]
    refusals = Refusals(lambda: now_s[0])
    with caplog.at_level(logging.WARNING):
        for at_s in (5.0, 6.0, 64.9, 65.0, 65.1, 200.0):
            now_s[0] = at_s
            refusals.count(Refusal.UNREAD, "logs", "it is large")
        refusals.count(Refusal.UNREAD, "traces", "it is large")
        refusals.count(Refusal.QUEUE_FULL, "logs", "come later")
    assert caplog.messages == [
        "logs refused (unread): it is large",
        "logs refused (unread): it is large (and 2 more since the line before)",
        "logs refused (unread): it is large (and 1 more since the line before)",
        "traces refused (unread): it is large",
        "logs refused (queue_full): come later",
    ]
