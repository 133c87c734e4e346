"""OTLP/gRPC: a server with an event loop of its own, in a thread.

The methods are unary for their callers. Here each is served as a stream of one message: then a call whose
message gRPC itself refuses, since it is much too large, reaches the handler, too, and is counted. A message
that is a little too large is read and refused here, with the answer that it has over HTTP.

gRPC hands each step of a call over to the event loop, four a call, so a faster loop (uvloop) counts here.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Sequence

import grpc
import grpc.aio
import uvloop

from microservo.adapters.otlp.answers import Refusal
from microservo.adapters.otlp.media import Media
from microservo.domain.telemetry import Signal
from microservo.errors import Unavailable
from microservo.runtime.metrics import REQUESTS_TOTAL
from microservo.sources.otlp.bodies import BodyKind, TooManyBodies
from microservo.sources.otlp.intake import Intake, Reply

_PACKAGE = "opentelemetry.proto.collector"
METHODS: dict[str, Signal] = {
    f"/{_PACKAGE}.trace.v1.TraceService/Export": "traces",
    f"/{_PACKAGE}.metrics.v1.MetricsService/Export": "metrics",
    f"/{_PACKAGE}.logs.v1.LogsService/Export": "logs",
}
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_DETAILS = "grpc-status-details-bin"
_START_S = 10.0
_DRAIN_S = 5.0
_ANSWERED_BYTES = 4 * 1024 * 1024
"""What is larger than the limit by more than this is left unread, and gRPC answers it."""
_LARGEST_FRAME_BYTES = 2**24 - 1
"""Of HTTP/2 (RFC 9113, 4.2)."""
_SHARE_OF_DEADLINE = 0.5
"""An answer that takes longer than this of what a caller waits may come too late."""

_Context = grpc.aio.ServicerContext[bytes, bytes]


class GrpcServer:
    """Serves the three export methods until it is closed.

    Args:
        intake: where requests go.
        port: 0 for one that is free; `port` says which it became.
        hosts: addresses; those after the first are left out where the machine does not have them.

    Raises:
        Unavailable: the port of the first host is taken, or not served in time.
    """

    def __init__(self, intake: Intake, *, port: int, hosts: Sequence[str]) -> None:
        self._intake = intake
        self._wanted = (port, hosts)
        self.port = 0
        self._failure: Unavailable | None = None
        self._begun = threading.Event()
        self._stopping: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self._thread = threading.Thread(
            target=lambda: uvloop.run(self._serve()), name="otlp-grpc", daemon=True
        )
        self._thread.start()
        if not self._begun.wait(_START_S):
            self.close()
            msg = f"port {port} was not served within {_START_S:g} s; this machine is too busy, try again"
            raise Unavailable(msg)
        if self._failure is not None:
            self._thread.join()
            raise self._failure

    def close(self) -> None:
        """Answers what is being worked on, then stops listening; a second call does nothing."""
        if self._stopping is not None:
            loop, stopping = self._stopping
            # A loop that is closed has ended already.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(stopping.set)
        self._thread.join(_DRAIN_S + 1)

    async def _serve(self) -> None:
        stopping = asyncio.Event()
        self._stopping = (asyncio.get_running_loop(), stopping)
        server = grpc.aio.server(options=_options(self._intake.limits.body_bytes))
        server.add_generic_rpc_handlers((_Methods(self._intake),))
        try:
            self.port = _listen(server, *self._wanted)
        except Unavailable as error:
            self._failure = error
            return
        else:
            await server.start()
        finally:
            self._begun.set()
        await stopping.wait()
        await server.stop(_DRAIN_S)


class _Methods(grpc.GenericRpcHandler):
    def __init__(self, intake: Intake) -> None:
        self._handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            method: grpc.stream_unary_rpc_method_handler(_Export(intake, method, signal).answer)
            for method, signal in METHODS.items()
        }
        self._intake = intake

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        method = handler_call_details.method
        if method not in self._handlers:
            text = f"there is no method {method[:120]!r}; call Export of the services of OTLP"
            self._intake.refuse(Refusal.NOT_FOUND, text, Media.PROTOBUF)
        return self._handlers.get(method)


class _Export:
    """One method: requests and responses are bytes, since a body with a broken record is no protobuf."""

    def __init__(self, intake: Intake, method: str, signal: Signal) -> None:
        self._intake = intake
        self._method = method
        self._kind = BodyKind(signal=signal, media=Media.PROTOBUF)

    # gRPC looks for a coroutine function, which no object with `__call__` is.
    async def answer(self, _: object, context: _Context) -> bytes:
        reply = await self._answer(context)
        code = _CODES[reply.refusal.code if reply.refusal else 0]
        REQUESTS_TOTAL.labels(self._method, code.name).inc()
        if reply.refusal is not None:
            await context.abort(code, reply.text, ((_DETAILS, reply.body),))
        return reply.body

    async def _answer(self, context: _Context) -> Reply:
        signal, media = self._kind.signal, self._kind.media
        if (reply := self._intake.refused_for_now(signal, media)) is not None:
            return reply
        body = await context.read()
        limit_bytes = self._intake.limits.body_bytes
        if not isinstance(body, bytes) or len(body) > limit_bytes:
            text = f"message is larger than {limit_bytes} bytes; send smaller batches"
            return self._intake.refuse(Refusal.UNREAD, text, media, signal)
        until_s = self._until_s(context)
        try:
            with self._intake.memory.reserve() as reservation:
                reservation.grow(len(body))
                parcel, reply = await self._intake.decode(self._kind, body)
                del body
        except TooManyBodies as error:
            return self._intake.refuse(Refusal.MEMORY_FULL, str(error), media, signal)
        return await self._intake.deliver(parcel, reply, sender=context.peer(), until_s=until_s)

    def _until_s(self, context: _Context) -> float:
        left_s = context.time_remaining()
        limit_s = self._intake.limits.answer_timeout_s
        wait_s = limit_s if left_s is None else min(limit_s, left_s * _SHARE_OF_DEADLINE)
        return asyncio.get_running_loop().time() + wait_s


def _options(body_bytes: int) -> Sequence[tuple[str, int | str]]:
    return (
        ("grpc.max_receive_message_length", body_bytes + _ANSWERED_BYTES),
        # Otherwise two collectors could listen on one port, and each would get half of what comes.
        ("grpc.so_reuseport", 0),
        # A request of an exporter has some hundred kilobytes: read in few pieces, it costs a sixth less.
        ("grpc.http2.max_frame_size", _LARGEST_FRAME_BYTES),
        ("grpc.http2.lookahead_bytes", _ANSWERED_BYTES),
        ("grpc.http2.bdp_probe", 0),
        ("grpc.optimization_target", "throughput"),
    )


def _listen(server: grpc.aio.Server, port: int, hosts: Sequence[str]) -> int:
    """Listens on one port of each host, and returns it."""
    found = _listen_on(server, hosts[0], port)
    for host in hosts[1:]:
        with contextlib.suppress(Unavailable):
            _listen_on(server, host, found)
    return found


def _listen_on(server: grpc.aio.Server, host: str, port: int) -> int:
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        return int(server.add_insecure_port(address))
    except RuntimeError as error:
        msg = f"port {port} of {host} can't be listened on; give another one, or 0 for any"
        raise Unavailable(msg) from error
