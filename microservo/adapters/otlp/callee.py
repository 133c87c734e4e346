"""Whom a call went to and what it is, as far as its span says it.

Source: OpenTelemetry semantic conventions 1.37 for databases, messaging, RPC and HTTP, and the names before
1.20 (`net.peer.name`, `http.url`, `db.system`) that agents in use still send.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from microservo.adapters.otlp.values import text_of
from microservo.domain.bounded_names import cut
from microservo.domain.telemetry import DATABASE, HTTP, MESSAGING, RPC

PEER = "peer.service"
_CALLS = frozenset({Span.SPAN_KIND_CLIENT, Span.SPAN_KIND_PRODUCER})
_KINDS = frozenset({*_CALLS, Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CONSUMER})
"""The others are nobody's call."""
_DATABASE = ("db.system.name", "db.system")
_NAMESPACE = ("db.namespace", "db.name")
_QUEUE = (
    "messaging.destination.template",
    "messaging.destination.name",
    "messaging.destination",
    "messaging.source.name",
)
_URL = ("url.full", "http.url")
_HOSTS = ("server.address", "net.peer.name")
_PORTS = ("server.port", "net.peer.port")
_PROTOCOL = {
    **dict.fromkeys(
        (
            "http.request.method",
            "http.response.status_code",
            "http.request.resend_count",
            "http.route",
            "http.method",
            "http.status_code",
            "http.target",
            *_URL,
        ),
        HTTP,
    ),
    **dict.fromkeys(("rpc.system.name", "rpc.system", "rpc.service", "rpc.method"), RPC),
    **dict.fromkeys(
        ("messaging.system", "messaging.operation.name", "messaging.operation", *_QUEUE), MESSAGING
    ),
    **dict.fromkeys((*_DATABASE, *_NAMESPACE), DATABASE),
}
"""What attributes tell the protocol. Of several the highest counts: a database may be called by HTTP."""
_WANTED = frozenset(
    {PEER, *_DATABASE, *_NAMESPACE, *_QUEUE, "messaging.system", *_HOSTS, *_PORTS, *_URL, "rpc.service"}
)


class Callee(NamedTuple):
    """All empty for a span that is no call, or says nothing.

    Attributes:
        peer: the service, database or queue that was called; of a consumer, the queue.
        address: where the call went, when it is not known which service answers there.
        protocol: one of `microservo.domain.telemetry.PROTOCOLS`, by its number.
    """

    peer: str
    address: str
    protocol: int


_Operation = tuple[int, str, str, str]
"""Kind and name of spans, name of their scope, and the service."""

_NOBODY = Callee("", "", 0)
_SERVED = {protocol: Callee("", "", protocol) for protocol in {0, *_PROTOCOL.values()}}
_OPERATIONS = 4096
_protocols: dict[_Operation, int] = {}


def callee_of(span: Span, kind: int, name: str, scope: str, service: str) -> Callee:
    """Whom a span calls: `peer.service`, else a database or a queue (neither sends spans), or where.

    Args:
        span: one that was decoded.
        kind: that of the span; only a CLIENT or PRODUCER calls somebody, and a CONSUMER has a queue.
        name: that of the span.
        scope: name of its instrumentation scope.
        service: that sent it. Its spans of one scope, kind and name are of one protocol.
    """
    if kind not in _KINDS:
        return _NOBODY
    operation = (kind, name, scope, service)
    protocol = _protocols.get(operation)
    if protocol is None:
        protocol = _learn_protocol(span, operation)
    if kind == Span.SPAN_KIND_SERVER:
        return _SERVED[protocol]
    found: list[tuple[str, str]] = []
    # Each look into an attribute costs: those behind `peer.service` are left alone.
    for attribute in span.attributes:
        key = attribute.key
        if key in _WANTED:
            value = attribute.value
            text = value.string_value or text_of(value)
            if key == PEER and text and kind in _CALLS:
                return _callee_named(text, protocol)
            found.append((key, text))
    return (_callee_of if kind in _CALLS else _queue_of)(tuple(found), protocol)


def _learn_protocol(span: Span, operation: _Operation) -> int:
    """The protocol by all attributes: spans have so many that they are read once for each operation only."""
    if len(_protocols) >= _OPERATIONS:
        _protocols.clear()
    protocol = max([_PROTOCOL.get(attribute.key, 0) for attribute in span.attributes], default=0)
    # One that says nothing may be of a call that failed early: the next one may tell more.
    if protocol:
        _protocols[operation] = protocol
    return protocol


@lru_cache(maxsize=4096)
def _callee_named(peer: str, protocol: int) -> Callee:
    return Callee(cut(peer), "", protocol)


# A service says the same of most of its calls.
@lru_cache(maxsize=4096)
def _callee_of(attributes: tuple[tuple[str, str], ...], protocol: int) -> Callee:
    found = dict(attributes)
    if system := _first(found, _DATABASE):
        return Callee(_path(system, _first(found, _NAMESPACE) or _host(found)), "", protocol)
    if queue := _first(found, _QUEUE):
        return Callee(_path(found.get("messaging.system", ""), queue), "", protocol)
    address = _host(found) or _host_of(_first(found, _URL)) or found.get("rpc.service", "")
    return Callee("", cut(address), protocol)


@lru_cache(maxsize=4096)
def _queue_of(attributes: tuple[tuple[str, str], ...], protocol: int) -> Callee:
    found = dict(attributes)
    queue = _first(found, _QUEUE)
    return Callee(_path(found.get("messaging.system", ""), queue) if queue else "", "", protocol)


def _host(found: Mapping[str, str]) -> str:
    for host, port in zip(_HOSTS, _PORTS, strict=True):
        if found.get(host):
            return _with_port(found[host], found.get(port, ""))
    return ""


def _first(found: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((found[name] for name in names if found.get(name)), "")


def _path(system: str, name: str) -> str:
    return cut("/".join(filter(None, (system, name))))


def _with_port(host: str, port: str) -> str:
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return f"{host}:{port}" if port else host


def _host_of(url: str) -> str:
    try:
        # Without the name and password that may stand before it.
        return urlsplit(url).netloc.rpartition("@")[2]
    except ValueError:
        return ""
