"""Whom a call went to and what it is, by the attributes that agents in use send."""

from __future__ import annotations

import itertools

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from microservo.adapters.otlp.callee import Callee, callee_of
from microservo.domain.telemetry import PROTOCOLS

SERVER, CLIENT, PRODUCER, CONSUMER = 2, 3, 4, 5
NAMES = itertools.count()


def found(attributes: dict[str, str | int], kind: int) -> Callee:
    span = Span(kind=Span.SpanKind.ValueType(kind))
    for key, value in attributes.items():
        given = AnyValue(int_value=value) if isinstance(value, int) else AnyValue(string_value=value)
        span.attributes.append(KeyValue(key=key, value=given))
    # Each under a name of its own, since what was learned of a name is remembered.
    return callee_of(span, kind, f"name {next(NAMES)}", "scope", "shop")


@pytest.mark.parametrize(
    ("attributes", "peer", "address"),
    [
        ({"peer.service": "cart", "server.address": "10.0.0.7"}, "cart", ""),
        ({"server.address": "10.0.0.7", "peer.service": "cart"}, "cart", ""),
        ({"peer.service": "", "server.address": "cart"}, "", "cart"),
        ({"server.address": "cart", "server.port": 7070}, "", "cart:7070"),
        ({"server.address": "::1", "server.port": 80}, "", "[::1]:80"),
        ({"server.address": "cart", "rpc.service": "shop.Cart"}, "", "cart"),
        ({"net.peer.name": "cart", "net.peer.port": 7070}, "", "cart:7070"),
        ({"url.full": "http://user:secret@cart:7102/a?b"}, "", "cart:7102"),
        ({"http.url": "http://cart/a"}, "", "cart"),
        ({"url.full": "http://[broken"}, "", ""),
        ({"rpc.service": "shop.Cart"}, "", "shop.Cart"),
        ({"db.system": "postgresql", "db.name": "shop", "net.peer.name": "db-1"}, "postgresql/shop", ""),
        ({"db.system.name": "redis", "server.address": "cache", "server.port": 6379}, "redis/cache:6379", ""),
        ({"db.system": "redis"}, "redis", ""),
        ({"messaging.system": "kafka", "messaging.destination.name": "orders"}, "kafka/orders", ""),
        ({"messaging.system": "rabbitmq", "messaging.destination": "jobs"}, "rabbitmq/jobs", ""),
        (
            {
                "messaging.system": "nats",
                "messaging.destination.name": "_INBOX.x7",
                "messaging.destination.template": "_INBOX.*",
            },
            "nats/_INBOX.*",
            "",
        ),
        ({}, "", ""),
    ],
)
def test_the_callee_is_what_the_span_says_best(
    attributes: dict[str, str | int], peer: str, address: str
) -> None:
    assert found(attributes, CLIENT)[:2] == (peer, address)
    assert found(attributes, PRODUCER)[:2] == (peer, address)


def test_long_names_of_callees_are_cut_and_stay_apart() -> None:
    for key in ("peer.service", "server.address", "messaging.destination.name"):
        one, other = found({key: "x" * 300}, CLIENT), found({key: "x" * 301}, CLIENT)
        assert one != other
        assert all(len(text) <= 256 for text in (*one[:2], *other[:2]))


@pytest.mark.parametrize("kind", [0, 1, SERVER])
def test_only_clients_and_producers_call(kind: int) -> None:
    assert found({"peer.service": "cart", "server.address": "cart"}, kind)[:2] == ("", "")


def test_a_consumer_has_the_queue_that_it_takes_from() -> None:
    attributes: dict[str, str | int] = {
        "messaging.system": "kafka",
        "messaging.destination.name": "orders",
        "server.address": "broker",
        "peer.service": "broker",
    }
    assert found(attributes, CONSUMER)[:2] == ("kafka/orders", "")
    assert found({"server.address": "broker"}, CONSUMER)[:2] == ("", "")


# What agents in use send, old and new names: Java agent 1.x and 2.x, Python and Node, otelhttp, otelgrpc.
@pytest.mark.parametrize(
    ("attributes", "kind", "protocol"),
    [
        ({"http.request.method": "GET", "url.path": "/", "server.address": "x"}, SERVER, "http"),
        ({"http.method": "GET", "http.url": "http://x/"}, CLIENT, "http"),
        ({"rpc.system": "grpc", "rpc.service": "shop.Cart", "rpc.method": "Get"}, SERVER, "rpc"),
        ({"rpc.system.name": "grpc", "server.address": "cart"}, CLIENT, "rpc"),
        ({"http.request.method": "POST", "rpc.system": "grpc"}, SERVER, "rpc"),
        ({"db.system": "mongodb", "db.operation": "find"}, CLIENT, "database"),
        ({"db.system.name": "elasticsearch", "http.request.method": "GET"}, CLIENT, "database"),
        ({"rpc.system": "aws-api", "http.method": "POST", "db.system": "dynamodb"}, CLIENT, "database"),
        ({"rpc.system": "aws-api", "messaging.system": "aws_sqs"}, PRODUCER, "messaging"),
        ({"messaging.system": "kafka", "messaging.operation.type": "process"}, CONSUMER, "messaging"),
        ({"peer.service": "cart", "http.response.status_code": 200}, CLIENT, "http"),
        ({"thread.id": 3}, CLIENT, ""),
        ({"db.system": "h2", "db.name": "x"}, 1, ""),
    ],
)
def test_the_protocol_is_told_by_semantic_conventions_old_and_new(
    attributes: dict[str, str | int], kind: int, protocol: str
) -> None:
    assert PROTOCOLS[found(attributes, kind).protocol] == protocol


def test_the_protocol_of_an_operation_that_said_nothing_once_is_learned_when_it_does() -> None:
    silent, span = Span(kind=Span.SPAN_KIND_SERVER), Span(kind=Span.SPAN_KIND_SERVER)
    span.attributes.append(KeyValue(key="http.route", value=AnyValue(string_value="/")))
    protocols = [
        callee_of(each, SERVER, "GET /", "tomcat", "shop").protocol for each in (silent, span, silent)
    ]
    assert protocols == [0, 1, 1]


def test_operations_of_two_services_that_are_named_alike_each_have_their_own_protocol() -> None:
    by_http, by_rpc = Span(kind=Span.SPAN_KIND_SERVER), Span(kind=Span.SPAN_KIND_SERVER)
    by_http.attributes.append(KeyValue(key="http.route", value=AnyValue(string_value="/")))
    by_rpc.attributes.append(KeyValue(key="rpc.system", value=AnyValue(string_value="grpc")))
    found = [
        callee_of(by_http, SERVER, "Get", "main", "web"),
        callee_of(by_rpc, SERVER, "Get", "main", "cart"),
    ]
    assert [PROTOCOLS[each.protocol] for each in found] == ["http", "rpc"]
