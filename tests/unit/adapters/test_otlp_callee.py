"""Whom a call went to, by the attributes that agents in use send."""

from __future__ import annotations

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from microservo.adapters.otlp.callee import Callee, callee_of


def found(attributes: dict[str, str | int], kind: int) -> Callee:
    span = Span(kind=Span.SpanKind.ValueType(kind))
    for key, value in attributes.items():
        given = AnyValue(int_value=value) if isinstance(value, int) else AnyValue(string_value=value)
        span.attributes.append(KeyValue(key=key, value=given))
    return callee_of(span, span.kind)


@pytest.mark.parametrize(
    ("attributes", "callee"),
    [
        ({"peer.service": "cart", "server.address": "10.0.0.7"}, Callee("cart", "")),
        ({"server.address": "10.0.0.7", "peer.service": "cart"}, Callee("cart", "")),
        ({"peer.service": "", "server.address": "cart"}, Callee("", "cart")),
        ({"server.address": "cart", "server.port": 7070}, Callee("", "cart:7070")),
        ({"server.address": "::1", "server.port": 80}, Callee("", "[::1]:80")),
        ({"server.address": "cart", "rpc.service": "shop.Cart"}, Callee("", "cart")),
        ({"net.peer.name": "cart", "net.peer.port": 7070}, Callee("", "cart:7070")),
        ({"url.full": "http://user:secret@cart:7102/a?b"}, Callee("", "cart:7102")),
        ({"http.url": "http://cart/a"}, Callee("", "cart")),
        ({"url.full": "http://[broken"}, Callee("", "")),
        ({"rpc.service": "shop.Cart"}, Callee("", "shop.Cart")),
        ({"db.system": "postgresql", "db.name": "shop"}, Callee("postgresql/shop", "")),
        ({"db.system.name": "redis", "server.address": "cache"}, Callee("redis", "")),
        (
            {"messaging.system": "kafka", "messaging.destination.name": "orders"},
            Callee("", "kafka/orders"),
        ),
        ({"server.address": "x" * 300}, Callee("", "x" * 256)),
        ({}, Callee("", "")),
    ],
)
def test_the_callee_is_what_the_span_says_best(attributes: dict[str, str | int], callee: Callee) -> None:
    assert found(attributes, 3) == callee
    assert found(attributes, 4) == callee


@pytest.mark.parametrize("kind", [0, 1, 2, 5])
def test_only_clients_and_producers_call(kind: int) -> None:
    assert found({"peer.service": "cart", "server.address": "cart"}, kind) == Callee("", "")
