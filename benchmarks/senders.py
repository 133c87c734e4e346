"""Senders of spans as fast as they are answered: `python -m benchmarks.senders http PORT SENDERS SPANS S`.

Each has a connection of its own and sends one request after another, the next when the one before is
answered. The bytes are made once, so that as little as can be of the machine goes into sending.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable

import grpc
import grpc.aio
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

_METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
WARM_UP_S = 1.0
FRESH_S = 10.0
"""Spans older than some windows would be refused, so bodies are made anew after so long."""

ATTRIBUTES = {
    "http.request.method": "GET",
    "url.path": "/cart/items",
    "url.scheme": "http",
    "http.route": "/cart/{id}",
    "server.address": "127.0.0.1",
    "network.protocol.version": "1.1",
    "user_agent.original": "benchmark/1.0",
}
"""Of each span: what agents say of a request."""

Send = Callable[[bytes], Awaitable[None]]


def body_of(service: str, spans: int) -> bytes:
    """A request of SERVER spans that end now, with the attributes that agents give them."""
    now_ns = time.time_ns()
    pairs = [KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in ATTRIBUTES.items()]
    request = ExportTraceServiceRequest(
        resource_spans=[
            ResourceSpans(
                resource=Resource(
                    attributes=[KeyValue(key="service.name", value=AnyValue(string_value=service))]
                ),
                scope_spans=[
                    ScopeSpans(
                        spans=[
                            Span(
                                trace_id=(now_ns + index).to_bytes(16, "big"),
                                span_id=(now_ns + index).to_bytes(8, "big"),
                                name="GET /cart/{id}",
                                kind=Span.SPAN_KIND_SERVER,
                                start_time_unix_nano=now_ns - 3_000_000,
                                end_time_unix_nano=now_ns,
                                attributes=pairs,
                            )
                            for index in range(spans)
                        ]
                    )
                ],
            )
        ]
    )
    return request.SerializeToString()


async def connected(port: int, path: str = "/v1/traces") -> Send:
    """What sends bodies by HTTP over a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def send(body: bytes) -> None:
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-protobuf\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        lines = answer.lower().split(b"\r\n")
        length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
        await reader.readexactly(length)
        if b" 200 " not in lines[0]:
            raise RuntimeError(answer.decode())

    return send


async def _grpc(port: int) -> Send:
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)])
    export: Callable[..., Awaitable[bytes]] = channel.unary_unary(_METHOD)

    async def send(body: bytes) -> None:
        await export(body, timeout=10)

    return send


async def _sender(send: Send, service: str, spans: int, seconds: float) -> tuple[int, list[float]]:
    """How many requests were answered, and how long each took after the warm-up."""
    took_s: list[float] = []
    answered = 0
    began_s = time.monotonic()
    made_s = -FRESH_S
    body = b""
    while (now_s := time.monotonic()) < began_s + WARM_UP_S + seconds:
        if now_s - made_s > FRESH_S:
            body, made_s = body_of(service, spans), now_s
            now_s = time.monotonic()
        await send(body)
        answered += 1
        if now_s > began_s + WARM_UP_S:
            took_s.append(time.monotonic() - now_s)
    return answered, took_s


async def _measured(kind: str, port: int, senders: int, spans: int, seconds: float) -> dict[str, float]:
    sends = [await (connected(port) if kind == "http" else _grpc(port)) for _ in range(senders)]
    outcomes = await asyncio.gather(
        *(_sender(send, f"bench-{index % 8}", spans, seconds) for index, send in enumerate(sends))
    )
    took_s = sorted(each for _, times in outcomes for each in times)
    requests = len(took_s)
    return {
        "spans": requests * spans,
        "elapsed_s": seconds,
        "spans_with_warm_up": sum(answered for answered, _ in outcomes) * spans,
        "p50_ms": took_s[requests // 2] * 1e3,
        "p99_ms": took_s[requests * 99 // 100] * 1e3,
    }


def main() -> None:
    """Prints one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("http", "grpc"))
    parser.add_argument("port", type=int)
    parser.add_argument("senders", type=int)
    parser.add_argument("spans", type=int, help="in each request")
    parser.add_argument("seconds", type=float)
    given = parser.parse_args()
    print(json.dumps(asyncio.run(_measured(**vars(given)))))


if __name__ == "__main__":
    main()
