"""What becomes of a request, whatever it came by: decoded, put into the sink, answered once it is durable.

Nothing blocks an event loop: a request that waits for Kafka is a future, and large bodies are decoded by a
few threads.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from microservo.adapters.otlp import answers
from microservo.adapters.otlp.answers import Refusal
from microservo.adapters.otlp.checks import Instants
from microservo.adapters.otlp.decoding import decode_body
from microservo.adapters.otlp.media import (
    MAX_BODY_BYTES,
    Media,
    TooLarge,
    TooManyRecords,
    unpack,
)
from microservo.domain.telemetry import Signal
from microservo.domain.window_policy import WindowPolicy
from microservo.errors import InvalidMessage
from microservo.sources.otlp.bodies import BodyKind, BodyMemory
from microservo.sources.otlp.refusals import Refusals
from microservo.sources.source import Parcel, Sink, SinkFull, Undecodable
from schemas.catalogue import MAX_MESSAGE_BYTES

_DECODERS = 2
_INLINE_BYTES = 256 * 1024
"""Larger bodies are decoded in a thread: they would hold up the other requests of an event loop for more than
some milliseconds. Smaller ones gain nothing there: threads take turns at decoding, and handing over costs."""
_BODIES_IN_MEMORY = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverLimits:
    """What a receiver accepts.

    Args:
        body_bytes: the largest body, after decompression.
        body_records: how many records one body may hold.
        answer_timeout_s: how long a request waits until what it sent is durable; exporters give up after 10.
        windows: how windows are cut, to report what comes too late for any.
        cors_origins: web pages from these origins may send, too; "*" lets in all.
    """

    body_bytes: int = MAX_BODY_BYTES
    body_records: int = 100_000
    answer_timeout_s: float = 5.0
    windows: WindowPolicy = field(default_factory=WindowPolicy)
    cors_origins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the sender is told.

    Args:
        body: in the encoding of the request: a response of its signal, or a `google.rpc.Status`.
        refusal: None where the request was accepted.
        text: why it was refused.
        close: whether the connection ends with it, since the rest of the request is left unread.
    """

    body: bytes
    media: Media
    refusal: Refusal | None = None
    text: str = ""
    close: bool = False


class Intake:
    """Takes in requests from several event loops.

    Args:
        sink: where rows go.
        clock: epoch microseconds UTC.
        limits: what is accepted.
    """

    def __init__(self, sink: Sink, clock: Callable[[], int], limits: ReceiverLimits) -> None:
        self.limits = limits
        self.memory = BodyMemory(_BODIES_IN_MEMORY * limits.body_bytes)
        self._sink = sink
        self._clock = clock
        self._refusals = Refusals()
        self._decoders = ThreadPoolExecutor(_DECODERS, thread_name_prefix="otlp-decoder")
        self._closing = False

    def refuse_more(self) -> None:
        """From now on new requests are asked to come later."""
        self._closing = True

    def close(self) -> None:
        """Ends the decoders, once no request is under way."""
        self._decoders.shutdown()

    def refuse(
        self, refusal: Refusal, text: str, media: Media, signal: Signal | None = None, *, close: bool = False
    ) -> Reply:
        """The answer to a request that is refused, which is counted."""
        self._refusals.count(refusal, signal, text)
        body = answers.failure(refusal, text, media)
        return Reply(body=body, media=media, refusal=refusal, text=text, close=close)

    def refused_for_now(self, signal: Signal, media: Media) -> Reply | None:
        """The answer to a request that is not worth reading; None where it is."""
        if self._closing:
            text = "the collector is shutting down; send again"
            return self.refuse(Refusal.CLOSING, text, media, signal)
        if self._sink.is_full:
            text = "too many records wait for Kafka; send again later"
            return self.refuse(Refusal.QUEUE_FULL, text, media, signal)
        return None

    async def decode(self, kind: BodyKind, raw: bytes) -> tuple[Parcel, Reply]:
        """What a body holds, and the answer to it that holds once that is durable."""
        if len(raw) <= _INLINE_BYTES:
            return self._decode(kind, raw)
        return await asyncio.get_running_loop().run_in_executor(self._decoders, self._decode, kind, raw)

    async def deliver(self, parcel: Parcel, reply: Reply, *, sender: str, until_s: float) -> Reply:
        """The answer to a request that was decoded, once what it holds is durable.

        Args:
            parcel: what it holds.
            reply: the answer then.
            sender: its connection.
            until_s: when another one is given, on the clock of the running loop.
        """
        if not parcel.records:
            return reply
        waiting = Waiting()
        try:
            self._sink.put(replace(parcel, sender=sender, durable=waiting.end))
        except SinkFull as error:
            return self.refuse(Refusal.QUEUE_FULL, str(error), reply.media, parcel.signal)
        if await waiting.is_over(until_s):
            return reply
        text = "Kafka has not taken the records in time; send them again"
        return self.refuse(Refusal.NOT_DURABLE, text, reply.media, parcel.signal)

    def _decode(self, kind: BodyKind, raw: bytes) -> tuple[Parcel, Reply]:
        signal, media = kind.signal, kind.media
        try:
            body = unpack(raw, kind.compression, self.limits.body_bytes)
            found = decode_body(signal, media, body, self._instants(), self.limits.body_records)
        except InvalidMessage as error:
            return self._dead_letter(kind, raw, Refusal.INVALID, str(error))
        except TooManyRecords as error:
            return self._dead_letter(kind, raw, Refusal.TOO_MANY_RECORDS, str(error))
        except TooLarge as error:
            return self._dead_letter(kind, raw, Refusal.TOO_LARGE, str(error))
        answer = answers.success(signal, media, rejected=found.rejected, reason=found.reason)
        parcel = Parcel(signal=signal, rows=found.rows, refused=found.refused)
        return parcel, Reply(body=answer, media=media)

    def _instants(self) -> Instants:
        now_us = self._clock()
        return Instants(now_us=now_us, oldest_us=self.limits.windows.oldest_us(now_us))

    def _dead_letter(self, kind: BodyKind, raw: bytes, refusal: Refusal, reason: str) -> tuple[Parcel, Reply]:
        parcel = undecodable(kind.signal, raw, kind.content_type, reason)
        return parcel, self.refuse(refusal, reason, kind.media, kind.signal)


def undecodable(signal: Signal, raw: bytes, content_type: str, reason: str) -> Parcel:
    """A body that can't be used, on its way to the dead-letter topic as it came.

    Of one that is larger than any message only the beginning is kept: it may have to wait for Kafka.
    """
    if len(raw) > MAX_MESSAGE_BYTES:
        raw, reason = raw[:MAX_MESSAGE_BYTES], f"{reason} (the beginning of {len(raw)} bytes)"
    return Parcel(signal=signal, undecodable=Undecodable(raw=raw, content_type=content_type, reason=reason))


class Waiting:
    """Lets a request of this event loop wait for what another thread does."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[bool] = self._loop.create_future()

    def end(self) -> None:
        """Ends it, from any thread; after the loop has ended nobody waits."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._set, True)

    async def is_over(self, until_s: float) -> bool:
        """Whether it ended in time."""
        timeout = self._loop.call_at(until_s, self._set, False)
        try:
            return await self._over
        finally:
            timeout.cancel()

    def _set(self, ended: bool) -> None:
        if not self._over.done():
            self._over.set_result(ended)
