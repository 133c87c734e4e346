"""Documents of spans to rows: transactions and spans of Elastic APM, and spans of OpenTelemetry.

Units differ: APM's durations are microseconds, OpenTelemetry's nanoseconds; both start at `@timestamp`, of
which APM keeps milliseconds only and the microseconds in `timestamp.us`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from microservo.adapters.otlp.checks import Refused
from microservo.domain.bounded_names import cut
from microservo.domain.rows import SpanRows, coded, id_column
from microservo.domain.telemetry import (
    CLIENT_SPAN,
    CONSUMER_SPAN,
    DATABASE,
    HTTP,
    INTERNAL_SPAN,
    MESSAGING,
    PRODUCER_SPAN,
    RPC,
    SERVER_SPAN,
)
from microservo.sources.documents.fields import TIME, Documents, Fields, hex_id, microseconds, number, text
from microservo.sources.documents.logs import refused
from microservo.sources.documents.origin import ORIGIN_FIELDS, Origin, by_origin

_EVENT = "processor.event"
_GRPC_STATUS = ("attributes.rpc.grpc.status_code", "rpc.grpc.status_code", "labels.grpc_status_code")
_STATUS = ("http.response.status_code", "attributes.http.response.status_code", "attributes.http.status_code")
_RESOURCE = ("span.destination.service.resource", "service.target.name")
_PEER = ("attributes.peer.service", "peer.service")
_ADDRESS = ("attributes.server.address", "attributes.net.peer.name", "destination.address")
_PORT = ("attributes.server.port", "attributes.net.peer.port", "destination.port")
_DATABASE = ("attributes.db.system.name", "attributes.db.system")
_DATABASE_NAME = ("attributes.db.namespace", "attributes.db.name")
_QUEUE = (
    "attributes.messaging.destination.name",
    "transaction.message.queue.name",
    "span.message.queue.name",
)
_RPC = ("attributes.rpc.system", "attributes.rpc.service")
_HTTP = ("attributes.http.request.method", "attributes.http.method", "http.request.method")
_KINDS = {
    "internal": INTERNAL_SPAN,
    "server": SERVER_SPAN,
    "client": CLIENT_SPAN,
    "producer": PRODUCER_SPAN,
    "consumer": CONSUMER_SPAN,
}
SPAN_FIELDS = (
    _EVENT,
    "timestamp.us",
    "trace.id",
    "trace_id",
    "transaction.id",
    "span.id",
    "span_id",
    "parent.id",
    "parent_span_id",
    "transaction.name",
    "transaction.type",
    "transaction.result",
    "transaction.duration.us",
    "span.name",
    "name",
    "span.type",
    "span.subtype",
    "span.duration.us",
    "span.kind",
    "kind",
    "duration",
    "status.code",
    "event.outcome",
    *_GRPC_STATUS,
    *_STATUS,
    *_RESOURCE,
    *_PEER,
    *_ADDRESS,
    *_PORT,
    *_DATABASE,
    *_DATABASE_NAME,
    *_QUEUE,
    *_RPC,
    *_HTTP,
    *ORIGIN_FIELDS,
)
"""All that is looked at, but for the time."""


class _Span(NamedTuple):
    name: str
    duration_us: int
    kind: int
    protocol: int
    peer: str
    address: str
    is_error: bool
    trace_id: bytes
    span_id: bytes
    parent_id: bytes


class _Read(NamedTuple):
    time: str
    time_us: float
    span: _Span


def span_rows(documents: Sequence[Fields], unusable: list[Refused]) -> Iterator[SpanRows]:
    """The spans of documents, by who they are from.

    Args:
        documents: each with `@timestamp`, in ISO 8601.
        unusable: those without ids or duration are added here.
    """
    usable: list[Fields] = []
    found: list[_Read] = []
    for fields in documents:
        span = _span(fields)
        if isinstance(span, str):
            unusable.append(refused(fields, span))
            continue
        usable.append(fields)
        found.append(_Read(fields[TIME][0], number(fields, "timestamp.us"), span))
    for origin, places in by_origin(Documents(usable)):
        yield _rows(origin, [found[place] for place in places.tolist()])


def _rows(origin: Origin, found: Sequence[_Read]) -> SpanRows:
    start_us = microseconds([each.time for each in found])
    exact_us = np.array([each.time_us for each in found])
    given = np.isfinite(exact_us)
    start_us[given] = exact_us[given].astype(np.int64)
    spans = [each.span for each in found]
    return SpanRows(
        service=origin.service,
        instance=origin.instance,
        identity=origin.identity,
        start_us=start_us,
        duration_us=np.array([each.duration_us for each in spans], np.int64),
        endpoint=coded(each.name for each in spans),
        peer=coded(each.peer for each in spans),
        address=coded(each.address for each in spans),
        kind=np.array([each.kind for each in spans], np.uint8),
        protocol=np.array([each.protocol for each in spans], np.uint8),
        error=np.array([each.is_error for each in spans], np.uint8),
        trace_id=id_column([each.trace_id for each in spans], 16),
        span_id=id_column([each.span_id for each in spans], 8),
        parent_id=id_column([each.parent_id for each in spans], 8),
    )


def _span(fields: Fields) -> _Span | str:
    """What a document says of a span; why it can't be used where it can't."""
    event = text(fields, _EVENT)
    is_transaction = event == "transaction" or (not event and "transaction.duration.us" in fields)
    is_apm = is_transaction or event == "span" or "span.duration.us" in fields
    own = "transaction.id" if is_transaction else "span.id"
    trace_id = hex_id(text(fields, "trace.id", "trace_id"), 16)
    span_id = hex_id(text(fields, own, "span_id", "span.id"), 8)
    if not trace_id or not span_id:
        return "span has no trace id of 32 and id of 16 hexadecimal digits"
    if is_transaction:
        duration_us = number(fields, "transaction.duration.us")
    elif is_apm:
        duration_us = number(fields, "span.duration.us")
    else:
        duration_us = number(fields, "duration") / 1000
    if not math.isfinite(duration_us) or duration_us < 0:
        return "span has no duration"
    name = text(fields, "transaction.name" if is_transaction else "span.name", "name")
    kind = _kind(fields, is_transaction=is_transaction, is_apm=is_apm)
    protocol = _protocol(fields)
    peer, address = _callee(fields, kind, protocol)
    return _Span(
        name=cut(name),
        duration_us=int(duration_us),
        kind=kind,
        protocol=protocol,
        peer=peer,
        address=address,
        is_error=_is_error(fields, kind),
        trace_id=trace_id,
        span_id=span_id,
        parent_id=hex_id(text(fields, "parent.id", "parent_span_id"), 8),
    )


def _kind(fields: Fields, *, is_transaction: bool, is_apm: bool) -> int:
    given = _KINDS.get(text(fields, "span.kind", "kind").lower().removeprefix("span_kind_"), 0)
    if given or not is_apm:
        return given
    if is_transaction:
        return CONSUMER_SPAN if text(fields, "transaction.type") == "messaging" else SERVER_SPAN
    if text(fields, "span.type") == "messaging":
        return PRODUCER_SPAN
    return CLIENT_SPAN if text(fields, *_RESOURCE) else INTERNAL_SPAN


def _protocol(fields: Fields) -> int:
    kind, subtype = text(fields, "span.type", "transaction.type"), text(fields, "span.subtype")
    if kind == "db" or text(fields, *_DATABASE):
        return DATABASE
    if kind == "messaging" or text(fields, *_QUEUE):
        return MESSAGING
    if subtype == "grpc" or text(fields, *_RPC, *_GRPC_STATUS):
        return RPC
    return HTTP if subtype == "http" or text(fields, *_HTTP, *_STATUS) else 0


def _callee(fields: Fields, kind: int, protocol: int) -> tuple[str, str]:
    """Whom a call goes to by name, or else where."""
    queue = text(fields, *_QUEUE)
    if kind == CONSUMER_SPAN:
        return cut(queue), ""
    if kind not in (CLIENT_SPAN, PRODUCER_SPAN):
        return "", ""
    if peer := text(fields, *_PEER):
        return cut(peer), ""
    resource = text(fields, *_RESOURCE)
    if protocol in (DATABASE, MESSAGING):
        system = "/".join(filter(None, (text(fields, *_DATABASE), text(fields, *_DATABASE_NAME))))
        return cut(resource or queue or system), ""
    host, port = text(fields, *_ADDRESS), text(fields, *_PORT)
    return "", cut(resource or (f"{host}:{port}" if host and port else host))


def _is_error(fields: Fields, kind: int) -> bool:
    """Whether it failed, by what it says of its outcome, else by the status of what it carried."""
    outcome = text(fields, "event.outcome", "status.code").lower()
    if outcome in ("failure", "error", "2"):
        return True
    grpc = number(fields, *_GRPC_STATUS)
    if math.isfinite(grpc):
        return grpc != 0
    result = text(fields, "transaction.result")
    if result.startswith("grpc ") or outcome in ("success", "ok", "1"):
        return outcome not in ("success", "ok", "1") and result.removeprefix("grpc ") not in ("OK", "Ok", "")
    status = number(fields, *_STATUS)
    return bool(status >= (400 if kind == CLIENT_SPAN else 500))
