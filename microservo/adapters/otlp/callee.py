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
    **dict.fromkeys(("messaging.system", "messaging.operation.name", "messaging.operation", *_QUEUE), MESSAGING),
    **dict.fromkeys((*_DATABASE, *_NAMESPACE), DATABASE),
}
"""What attributes tell the protocol. Of several the highest counts: a database may be called by HTTP."""
_WANTED = frozenset(
    {PEER, *_DATABASE, *_NAMESPACE, *_QUEUE, "messaging.system", *_HOSTS, *_PORTS, *_URL, "rpc.service"}
)
# Both in one look, for it is asked of every attribute: the protocol, and whether the value is wanted.
_USES = {key: (_PROTOCOL.get(key, 0) << 1) | (key in _WANTED) for key in {*_PROTOCOL, *_WANTED}}


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


_NOBODY = Callee("", "", 0)
_SERVED = {protocol: Callee("", "", protocol) for protocol in {0, *_PROTOCOL.values()}}


def callee_of(span: Span, kind: int) -> Callee:
    """Whom a span calls: `peer.service`, else a database or a queue (neither sends spans), or where.

    Args:
        span: one that was decoded.
        kind: that of the span; only a CLIENT or PRODUCER calls somebody, and a CONSUMER has a queue.
    """
    if kind not in _KINDS:
        return _NOBODY
    protocol = 0
    found: list[tuple[str, str]] = []
    is_served = kind == Span.SPAN_KIND_SERVER
    for attribute in span.attributes:
        key = attribute.key
        use = _USES.get(key)
        if use is not None:
            protocol = max(protocol, use >> 1)
            if use & 1 and not is_served:
                value = attribute.value
                found.append((key, value.string_value or text_of(value)))
    if is_served:
        return _SERVED[protocol]
    return (_callee_of if kind in _CALLS else _queue_of)(tuple(found), protocol)


# A service says the same of most of its calls.
@lru_cache(maxsize=4096)
def _callee_of(attributes: tuple[tuple[str, str], ...], protocol: int) -> Callee:
    found = dict(attributes)
    if peer := found.get(PEER):
        return Callee(cut(peer), "", protocol)
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
