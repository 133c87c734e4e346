"""Documents of log lines to rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from hashlib import blake2b

import numpy as np

from microservo.adapters.otlp.checks import Refused
from microservo.domain.rows import LogRows, coded, id_column
from microservo.domain.telemetry import Ids, UInt8, UInt64
from microservo.domain.templates import template_of
from microservo.sources.documents.fields import TIME, Documents, Fields, hex_id, microseconds, number
from microservo.sources.documents.origin import ORIGIN_FIELDS, by_origin

_MESSAGE = ("message", "log", "body.text", "body", "event.original")
_LEVEL = ("log.level", "severity_text", "level", "severity")
_PATH, _OFFSET = "log.file.path", "log.offset"
_NUMBER = "severity_number"
LOG_FIELDS = (
    *(name for name in _MESSAGE if name != "log"),
    *_LEVEL,
    _NUMBER,
    _PATH,
    _OFFSET,
    "trace.id",
    "trace_id",
    "span.id",
    "span_id",
    *ORIGIN_FIELDS,
)
"""All that is looked at, but for the time."""
_MAX_BODY_BYTES = 16 * 1024
_SURE_CHARS = _MAX_BODY_BYTES // 4
"""So many are never more bytes than that."""
# Source: the data model of OpenTelemetry's logs, "Mapping of SeverityNumber", and syslog's names.
_SEVERITY = {
    "trace": 1,
    "debug": 5,
    "info": 9,
    "information": 9,
    "informational": 9,
    "notice": 10,
    "warn": 13,
    "warning": 13,
    "error": 17,
    "err": 17,
    "critical": 21,
    "crit": 21,
    "fatal": 21,
    "alert": 22,
    "panic": 24,
    "emergency": 24,
    "emerg": 24,
}


def log_rows(documents: Sequence[Fields], ids: UInt64) -> Iterator[LogRows]:
    """The log lines of documents, by who they are from.

    Args:
        documents: each with `@timestamp`, in ISO 8601.
        ids: a number for each that no other document has, to tell a repetition from a line like another.
    """
    # All of them at once: one after another takes three times as long.
    columns = Documents(documents)
    messages = columns.texts(*_MESSAGE)
    bodies = [_cut(each) if len(each) > _SURE_CHARS else each for each in messages]
    templates = [template_of(each) for each in bodies]
    time_us = microseconds([fields[TIME][0] for fields in documents])
    severity = _severities(columns)
    trace_id = _id_column(columns, 16, "trace.id", "trace_id")
    span_id = _id_column(columns, 8, "span.id", "span_id")
    line_id = _line_ids(columns, messages, ids)
    for origin, places in by_origin(columns):
        rows = places.tolist()
        yield LogRows(
            service=origin.service,
            instance=origin.instance,
            identity=origin.identity,
            time_us=time_us[places],
            severity=severity[places],
            template=coded([templates[row] for row in rows]),
            trace_id=trace_id[places],
            span_id=span_id[places],
            line_id=line_id[places],
            bodies=tuple([bodies[row] for row in rows]),
        )


def digests(keys: Sequence[str]) -> UInt64:
    """Eight bytes of each of some names, never 0; shape (names,)."""
    found = [blake2b(each.encode("utf-8", "surrogatepass"), digest_size=8).digest() for each in keys]
    numbers = np.frombuffer(b"".join(found), "<u8").astype(np.uint64)
    return np.maximum(numbers, np.uint64(1))


def refused(fields: Fields, reason: str) -> Refused:
    """A document that can't be used, for the dead-letter topic."""
    document = json.dumps(dict(fields), ensure_ascii=False, default=str).encode("utf-8", "replace")
    return Refused(reason=reason, document=document)


def _line_ids(documents: Documents, messages: Sequence[str], ids: UInt64) -> UInt64:
    """The id of each line, the same in each of its copies.

    Filebeat may send a line twice, which then are two documents: they have the same file, place and text.
    """
    if not (documents.have(_PATH) and documents.have(_OFFSET)):
        return ids
    paths, offsets = documents.texts(_PATH), documents.texts(_OFFSET)
    hosts, pods = documents.texts("host.name"), documents.texts("kubernetes.pod.name")
    places = list(zip(hosts, pods, paths, offsets, messages, strict=True))
    known = [row for row, (_, _, path, offset, _) in enumerate(places) if path and offset]
    found = ids.copy()
    found[known] = digests(["\0".join(places[row]) for row in known])
    return found


def _id_column(documents: Documents, width: int, *names: str) -> Ids:
    if not documents.have(*names):
        return np.zeros(len(documents), f"V{width}")
    return id_column([hex_id(each, width) for each in documents.texts(*names)], width)


def _severities(documents: Documents) -> UInt8:
    levels = documents.texts(*_LEVEL)
    of_level = {each: _SEVERITY.get(each.strip().lower(), 0) for each in set(levels)}
    found = np.array([of_level[each] for each in levels], np.uint8)
    if documents.have(_NUMBER):
        given = np.array([number(fields, _NUMBER) for fields in documents])
        used = (given > 0) & (given <= 24)  # NaN is not
        found[used] = given[used].astype(np.uint8)
    return found


def _cut(body: str) -> str:
    return body.encode("utf-8", "replace")[:_MAX_BODY_BYTES].decode(errors="ignore")
