"""Whom a call went to, as far as the calling span says it.

Source: OpenTelemetry semantic conventions 1.37 for databases, messaging, RPC and HTTP, and the names before
1.20 (`net.peer.name`, `http.url`, `db.system`) that agents in use still send.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from microservo.adapters.otlp.checks import MAX_NAME_CHARS
from microservo.adapters.otlp.values import text_of

PEER = "peer.service"
_CALLS = frozenset({Span.SPAN_KIND_CLIENT, Span.SPAN_KIND_PRODUCER})
_DATABASE = ("db.system.name", "db.system")
_NAMESPACE = ("db.namespace", "db.name")
_QUEUE = ("messaging.destination.name", "messaging.destination")
_URL = ("url.full", "http.url")
_WANTED = frozenset(
    {
        PEER,
        *_DATABASE,
        *_NAMESPACE,
        *_QUEUE,
        "messaging.system",
        "server.address",
        "server.port",
        "net.peer.name",
        "net.peer.port",
        *_URL,
        "rpc.service",
    }
)


class Callee(NamedTuple):
    """Both empty for a span that is no call, or says nothing.

    Attributes:
        peer: the service or the database that was called.
        address: where the call went, when it is not known which service answers there.
    """

    peer: str
    address: str


_NOBODY = Callee("", "")


def callee_of(span: Span, kind: int) -> Callee:
    """Whom a span calls: `peer.service`, else a database (it sends no spans), or where.

    Args:
        span: one that was decoded.
        kind: that of the span; only a CLIENT or PRODUCER calls somebody.
    """
    if kind not in _CALLS:
        return _NOBODY
    found: list[tuple[str, str]] = []
    # Asked of every span, and each look into an attribute costs: those behind `peer.service` are left alone.
    for attribute in span.attributes:
        key = attribute.key
        if key in _WANTED:
            value = attribute.value
            text = value.string_value or text_of(value)
            if key == PEER and text:
                return _callee_named(text)
            found.append((key, text))
    return _callee_of(tuple(found))


@lru_cache(maxsize=4096)
def _callee_named(peer: str) -> Callee:
    return Callee(peer, "")


# A service says the same of most of its calls.
@lru_cache(maxsize=4096)
def _callee_of(attributes: tuple[tuple[str, str], ...]) -> Callee:
    found = dict(attributes)
    if system := _first(found, _DATABASE):
        return Callee(_path(system, _first(found, _NAMESPACE)), "")
    return Callee("", _address(found)[:MAX_NAME_CHARS])


def _address(found: Mapping[str, str]) -> str:
    if queue := _first(found, _QUEUE):
        return _path(found.get("messaging.system", ""), queue)
    for kind in ("server.address", "net.peer.name"):
        if host := found.get(kind):
            return _with_port(host, found.get(f"{kind.rpartition('.')[0]}.port", ""))
    return _host_of(_first(found, _URL)) or found.get("rpc.service", "")


def _first(found: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((found[name] for name in names if found.get(name)), "")


def _path(system: str, name: str) -> str:
    return "/".join(filter(None, (system, name)))[:MAX_NAME_CHARS]


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
