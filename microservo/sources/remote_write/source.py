"""A port that Prometheus writes to: a request is answered once its samples are durable."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from microservo.adapters.otlp.media import MAX_BODY_BYTES, Media, TooLarge
from microservo.errors import InvalidMessage
from microservo.runtime.http import LOOPBACK, LOOPBACK_6, LOOPBACK_NAMES, HttpServer, foreign_host
from microservo.runtime.metrics import REQUESTS_TOTAL
from microservo.sources.otlp.bodies import BodyKind, BodyMemory, TooManyBodies, read_body
from microservo.sources.otlp.intake import Waiting, undecodable
from microservo.sources.prometheus.identity import Subject, subject_of
from microservo.sources.prometheus.owners import workload_of
from microservo.sources.remote_write.requests import read_request, unpacked
from microservo.sources.remote_write.settings import RemoteWriteSettings
from microservo.sources.source import Parcel, Sink, SinkFull

PATH = "/api/v1/write"
_PROTOS = {"": 1, "prometheus.WriteRequest": 1, "io.prometheus.write.v2.Request": 2}
_AGAIN = {"Retry-After": "1"}
_KIND = BodyKind(signal="metrics", media=Media.PROTOBUF)
_BODIES = 2


class _Answer(NamedTuple):
    """Prometheus sends again what is answered 429 or 5xx, and drops what is answered 4xx."""

    status: int
    text: str = ""
    headers: Mapping[str, str] = {}


class RemoteWriteSource:
    """Takes what Prometheus writes. It asks for no token, so it listens on loopback unless told otherwise.

    Args:
        settings: where it listens.
    """

    delay_us = 0

    def __init__(self, settings: RemoteWriteSettings) -> None:
        self.name = settings.name
        self.port = settings.port
        """What it listens on, once it is started."""
        self._settings = settings
        self._server: HttpServer | None = None

    def start(self, sink: Sink) -> None:
        is_loopback = self._settings.host in LOOPBACK_NAMES
        hosts = (LOOPBACK, LOOPBACK_6) if is_loopback else (self._settings.host,)
        app = _app(sink, self._settings, checks_host=is_loopback)
        self._server = HttpServer(app, port=self.port, hosts=hosts)
        self.port = self._server.port

    def stop(self) -> None:
        if self._server is not None:
            self._server.close()


def _app(sink: Sink, settings: RemoteWriteSettings, *, checks_host: bool) -> ASGIApp:
    receiver = _Receiver(sink, settings, checks_host=checks_host)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with contextlib.suppress(ClientDisconnect):
            answer = await receiver.answer(Request(scope, receive))
            REQUESTS_TOTAL.labels(PATH, str(answer.status)).inc()
            await Response(answer.text, answer.status, dict(answer.headers))(scope, receive, send)

    return app


class _Receiver:
    def __init__(self, sink: Sink, settings: RemoteWriteSettings, *, checks_host: bool) -> None:
        self._sink = sink
        self._settings = settings
        self._checks_host = checks_host
        self._memory = BodyMemory(_BODIES * MAX_BODY_BYTES)

    async def answer(self, request: Request) -> _Answer:
        """The answer to a request, once it holds."""
        if (refusal := self._refusal(request)) is not None:
            return refusal
        try:
            with self._memory.reserve() as reservation:
                raw = await read_body(request.stream(), _KIND, MAX_BODY_BYTES, reservation)
                return await self._take(raw, _version(request) or 1, str(request.client))
        except TooManyBodies as error:
            return _Answer(429, str(error), _AGAIN)
        except TooLarge as error:
            return _Answer(413, str(error))

    def _refusal(self, request: Request) -> _Answer | None:
        """The answer to a request that is not worth reading; None where it is."""
        if self._checks_host and (error := foreign_host(request.scope)) is not None:
            return _Answer(403, error)
        if request.url.path.rstrip("/") != PATH or request.method != "POST":
            return _Answer(404, f"there is nothing at {request.url.path[:80]!r}; POST to {PATH}")
        if _version(request) is None or request.headers.get("content-encoding", "") != "snappy":
            known = "application/x-protobuf of remote write 1.0 or 2.0, compressed as snappy"
            return _Answer(415, f"type or encoding is not understood; send {known}")
        if self._sink.is_full:
            return _Answer(429, "too many records wait for Kafka; send again later", _AGAIN)
        return None

    async def _take(self, raw: bytes, version: int, sender: str) -> _Answer:
        counted: Mapping[str, str] = {}
        try:
            written = read_request(unpacked(raw), version, self._subject, raw=self._settings.raw)
        except InvalidMessage as error:
            parcel = undecodable("metrics", raw, "application/x-protobuf; encoding=snappy", str(error))
            good = _Answer(400, str(error))
        else:
            parcel = Parcel(signal="metrics", rows=written.rows)
            if version == 2:
                kinds = {"Samples": written.samples, "Histograms": 0, "Exemplars": 0}
                counted = {f"X-Prometheus-Remote-Write-{kind}-Written": str(n) for kind, n in kinds.items()}
            good = _Answer(204, "", counted)
        return await self._put(parcel, good, sender) if parcel.records else good

    async def _put(self, parcel: Parcel, good: _Answer, sender: str) -> _Answer:
        waiting = Waiting()
        try:
            self._sink.put(replace(parcel, sender=sender, durable=waiting.end))
        except SinkFull as error:
            return _Answer(429, str(error), _AGAIN)
        until_s = asyncio.get_running_loop().time() + self._settings.answer_timeout_s
        if await waiting.is_over(until_s):
            return good
        return _Answer(503, "Kafka has not taken the samples in time; send them again", _AGAIN)

    def _subject(self, labels: Mapping[str, str]) -> Subject | None:
        return subject_of(labels, self._settings.of, lambda _, pod: workload_of(pod))


def _version(request: Request) -> int | None:
    """The version of remote write that a request's type tells; None for one that is not understood."""
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    if kind.strip() != "application/x-protobuf":
        return None
    return _PROTOS.get(parameters.strip().removeprefix("proto="))
