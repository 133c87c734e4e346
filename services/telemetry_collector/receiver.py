"""The WSGI application of OTLP/HTTP: a request in, rows into the inbox, the answer when Kafka has them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING

from microservo.adapters.otlp import answers
from microservo.adapters.otlp.media import Media, TooLarge, TooManyRecords, media_of
from microservo.domain.telemetry import Signal
from microservo.errors import InvalidInput, InvalidMessage
from microservo.runtime.metrics import REFUSED_BODIES_TOTAL, REQUESTS_TOTAL
from microservo.runtime.wsgi import UNREAD
from services.telemetry_collector.handlers import Reply, handle, undecodable
from services.telemetry_collector.inbox import Inbox, InboxFull, Parcel
from services.telemetry_collector.requests import Received, received
from services.telemetry_collector.topics import TOPICS
from services.telemetry_collector.unread import UnreadBodies

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

PATHS: dict[str, Signal] = {"/v1/traces": "traces", "/v1/metrics": "metrics", "/v1/logs": "logs"}
_DECODERS = 2
_RETRY_AFTER_S = "1"
_RETRIED = {429, 503}


class Receiver:
    """Serves `/v1/traces`, `/v1/metrics` and `/v1/logs`; may be called from many threads.

    Args:
        inbox: where rows go; what it holds is made durable by someone else.
        clock: epoch microseconds UTC, judges what is future-dated.
        answer_timeout_s: how long a request waits for Kafka.
        limit_bytes: the largest body, after decompression.
        limit_records: how many records one body may hold.
    """

    def __init__(
        self,
        inbox: Inbox,
        clock: Callable[[], int],
        *,
        answer_timeout_s: float,
        limit_bytes: int,
        limit_records: int,
    ) -> None:
        self._inbox = inbox
        self._clock = clock
        self._answer_timeout_s = answer_timeout_s
        self._limit_bytes = limit_bytes
        self._limit_records = limit_records
        self._unread = UnreadBodies()
        # Unpacked bodies are large: only this many requests hold one, the others wait with theirs unread.
        self._decoding = threading.BoundedSemaphore(_DECODERS)
        self._closing = False

    def refuse_more(self) -> None:
        """From now on new requests are told to come back later."""
        self._closing = True

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        reply = self._answer(environ, PATHS.get(path))
        REQUESTS_TOTAL.labels(path if path in PATHS else "other", str(reply.status)).inc()
        start_response(f"{reply.status} {HTTPStatus(reply.status).phrase}", _headers(reply))
        return [reply.body]

    def _answer(self, environ: WSGIEnvironment, signal: Signal | None) -> Reply:
        # Until it is known what the sender reads, JSON: a person with a browser or curl reads that.
        if signal is None:
            return _failure(404, f"there is nothing here; send to one of {', '.join(PATHS)}", Media.JSON)
        if environ["REQUEST_METHOD"] != "POST":
            return _failure(405, f"method {environ['REQUEST_METHOD']} is not served; send POST", Media.JSON)
        try:
            media = media_of(environ.get("CONTENT_TYPE", ""))
            request = received(environ, signal, media)
        except InvalidInput as error:
            return _failure(415, str(error), Media.JSON)
        if UNREAD in environ:
            return self._left_unread(request)
        if self._closing:
            return _failure(503, "the collector is shutting down; send again", media)
        return self._take_in(request)

    def _take_in(self, request: Received) -> Reply:
        if self._inbox.is_full:
            return _failure(429, "too many records wait for Kafka; send again later", request.media)
        try:
            parcel, reply = self._decoded(request)
            if parcel.records:
                self._inbox.put(parcel)
        except InboxFull as error:
            return _failure(429, str(error), request.media)
        if parcel.records and not parcel.durable.wait(self._answer_timeout_s):
            return _failure(503, "Kafka has not taken the records yet; send them again", request.media)
        return reply

    def _decoded(self, request: Received) -> tuple[Parcel, Reply]:
        with self._decoding:
            raw = request.read()
            try:
                body = request.unpacked(raw, self._limit_bytes)
                return handle(request.signal, request.media, body, self._clock(), self._limit_records)
            except InvalidMessage as error:
                return self._put_aside(request, raw, 400, "invalid", str(error))
            except TooManyRecords as error:
                return self._put_aside(request, raw, 413, "too_many_records", str(error))
            except TooLarge as error:
                return self._put_aside(request, raw, 413, "too_large", str(error))

    def _put_aside(
        self, request: Received, raw: bytes, status: int, kind: str, reason: str
    ) -> tuple[Parcel, Reply]:
        REFUSED_BODIES_TOTAL.labels(TOPICS[request.signal], kind).inc()
        parcel = undecodable(request.signal, raw, request.content_type, reason)
        return parcel, _failure(status, reason, request.media)

    def _left_unread(self, request: Received) -> Reply:
        size = f"{request.size_bytes} bytes" if request.size_bytes else "chunks"
        reason = f"body of {size} is larger than {self._limit_bytes} bytes; send smaller batches"
        self._unread.tell(request.signal, reason)
        return _failure(413, reason, request.media)


def _failure(status: int, reason: str, media: Media) -> Reply:
    return Reply(status=status, body=answers.failure(status, reason, media), media=media)


def _headers(reply: Reply) -> list[tuple[str, str]]:
    headers = [("Content-Type", reply.media.value), ("Content-Length", str(len(reply.body)))]
    if reply.status in _RETRIED:
        headers.append(("Retry-After", _RETRY_AFTER_S))
    if reply.status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers.append(("Allow", "POST"))
    return headers
