"""The ASGI application of OTLP/HTTP: a request in, rows into the sink, the answer when they are durable.

Nothing blocks the event loop: a request that waits for Kafka is a future, and large bodies are decoded by a
few threads.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from microservo.adapters.otlp import answers
from microservo.adapters.otlp.checks import Instants
from microservo.adapters.otlp.media import MAX_BODY_BYTES, Media, TooLarge, TooManyRecords
from microservo.domain.telemetry import Signal
from microservo.domain.windows import WindowPolicy
from microservo.errors import InvalidInput, InvalidMessage
from microservo.runtime.metrics import REFUSED_BODIES_TOTAL, REQUESTS_TOTAL
from microservo.sources.otlp.bodies import BodyKind, BodyMemory, TooManyBodies, kind_of, read_body
from microservo.sources.otlp.handlers import Reply, handle, undecodable
from microservo.sources.otlp.unread import UnreadBodies
from microservo.sources.source import TOPICS, Parcel, Sink, SinkFull

PATHS: dict[str, Signal] = {"/v1/traces": "traces", "/v1/metrics": "metrics", "/v1/logs": "logs"}
_DECODERS = 2
_INLINE_BYTES = 16 * 1024
_INLINE_GZIP_BYTES = 16 * 1024
"""What takes longer to decode than a request takes otherwise is decoded in a thread."""
_BODIES_IN_MEMORY = 4
_RETRY_AFTER_S = "1"
_RETRIED = {429, 503}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverLimits:
    """What a receiver accepts.

    Args:
        body_bytes: the largest body, after decompression.
        body_records: how many records one body may hold.
        answer_timeout_s: how long a request waits until what it sent is durable.
        windows: how windows are cut, to report what comes too late for any.
    """

    body_bytes: int = MAX_BODY_BYTES
    body_records: int = 100_000
    answer_timeout_s: float = 10.0
    windows: WindowPolicy = field(default_factory=WindowPolicy)


class Receiver:
    """Serves `/v1/traces`, `/v1/metrics` and `/v1/logs` in one event loop.

    Args:
        sink: where rows go.
        clock: epoch microseconds UTC.
        limits: what is accepted.
    """

    def __init__(self, sink: Sink, clock: Callable[[], int], limits: ReceiverLimits) -> None:
        self._sink = sink
        self._clock = clock
        self._limits = limits
        self._unread = UnreadBodies()
        self._memory = BodyMemory(_BODIES_IN_MEMORY * limits.body_bytes)
        self._decoders = ThreadPoolExecutor(_DECODERS, thread_name_prefix="otlp-decoder")
        self._closing = False

    def refuse_more(self) -> None:
        """From now on new requests are asked to come later."""
        self._closing = True

    def close(self) -> None:
        """Ends the decoders, once no request is under way."""
        self._decoders.shutdown()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        with contextlib.suppress(ClientDisconnect):
            reply = await self._answer(Request(scope, receive), PATHS.get(path))
            REQUESTS_TOTAL.labels(path if path in PATHS else "other", str(reply.status)).inc()
            await _response(reply)(scope, receive, send)

    async def _answer(self, request: Request, signal: Signal | None) -> Reply:
        # Until it is known what the sender reads, JSON: a person with a browser or curl reads that.
        if signal is None:
            return _failure(404, f"there is nothing here; send to one of {', '.join(PATHS)}", Media.JSON)
        if request.method != "POST":
            return _failure(405, f"method {request.method} is not served; send POST", Media.JSON)
        try:
            kind = kind_of(request, signal)
        except InvalidInput as error:
            return _failure(415, str(error), Media.JSON)
        if self._closing:
            return _failure(503, "the collector is shutting down; send again", kind.media)
        if self._sink.is_full:
            return _failure(429, "too many records wait for Kafka; send again later", kind.media)
        return await self._accept(request, kind)

    async def _accept(self, request: Request, kind: BodyKind) -> Reply:
        try:
            with self._memory.reserve() as reservation:
                raw = await read_body(request.stream(), kind, self._limits.body_bytes, reservation)
                parcel, reply = await self._decoded(kind, raw)
                del raw
            if not parcel.records:
                return reply
            waiting = _Waiting()
            self._sink.put(replace(parcel, durable=waiting.end))
        except TooLarge as error:
            self._unread.count(kind.signal, str(error))
            return _failure(413, str(error), kind.media, close=True)
        except TooManyBodies as error:
            return _failure(429, str(error), kind.media, close=True)
        except SinkFull as error:
            return _failure(429, str(error), kind.media)
        if await waiting.is_over(self._limits.answer_timeout_s):
            return reply
        return _failure(503, "Kafka has not taken the records yet; send them again", kind.media)

    async def _decoded(self, kind: BodyKind, raw: bytes) -> tuple[Parcel, Reply]:
        if len(raw) <= (_INLINE_GZIP_BYTES if kind.gzip else _INLINE_BYTES):
            return self._decode(kind, raw)
        return await asyncio.get_running_loop().run_in_executor(self._decoders, self._decode, kind, raw)

    def _decode(self, kind: BodyKind, raw: bytes) -> tuple[Parcel, Reply]:
        try:
            body = kind.unpacked(raw, self._limits.body_bytes)
            return handle(kind.signal, kind.media, body, self._instants(), self._limits.body_records)
        except InvalidMessage as error:
            return self._dead_letter(kind, raw, 400, "invalid", str(error))
        except TooManyRecords as error:
            return self._dead_letter(kind, raw, 413, "too_many_records", str(error))
        except TooLarge as error:
            return self._dead_letter(kind, raw, 413, "too_large", str(error))

    def _instants(self) -> Instants:
        now_us = self._clock()
        return Instants(now_us=now_us, oldest_us=self._limits.windows.oldest_us(now_us))

    def _dead_letter(
        self, kind: BodyKind, raw: bytes, status: int, why: str, reason: str
    ) -> tuple[Parcel, Reply]:
        REFUSED_BODIES_TOTAL.labels(TOPICS[kind.signal], why).inc()
        parcel = undecodable(kind.signal, raw, kind.content_type, reason)
        return parcel, _failure(status, reason, kind.media)


class _Waiting:
    """Lets a request of this event loop wait for what another thread does."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._over = self._loop.create_future()

    def end(self) -> None:
        """Ends it, from any thread; after the loop has ended nobody waits."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._set)

    async def is_over(self, timeout_s: float) -> bool:
        """Whether it ended in time."""
        done, _ = await asyncio.wait({self._over}, timeout=timeout_s)
        return bool(done)

    def _set(self) -> None:
        if not self._over.done():
            self._over.set_result(None)


def _failure(status: int, reason: str, media: Media, *, close: bool = False) -> Reply:
    return Reply(status=status, body=answers.failure(status, reason, media), media=media, close=close)


def _response(reply: Reply) -> Response:
    headers = {"Content-Type": reply.media.value}
    if reply.status in _RETRIED:
        headers["Retry-After"] = _RETRY_AFTER_S
    if reply.status == 405:
        headers["Allow"] = "POST"
    if reply.close:
        headers["Connection"] = "close"
    return Response(reply.body, status_code=reply.status, headers=headers)
