"""Documents of log lines to rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np

from microservo.adapters.otlp.checks import Refused
from microservo.domain.rows import LogRows, coded, id_column
from microservo.domain.templates import template_of
from microservo.sources.documents.fields import TIME, Fields, hex_id, microseconds, number, text
from microservo.sources.documents.origin import ORIGIN_FIELDS, Origin, origin_of

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


@dataclass(slots=True)
class _Columns:
    times: list[str] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)
    severities: list[int] = field(default_factory=list)
    trace_ids: list[bytes] = field(default_factory=list)
    span_ids: list[bytes] = field(default_factory=list)
    line_ids: list[int] = field(default_factory=list)


def log_rows(documents: Sequence[Fields], keys: Sequence[str]) -> Iterator[LogRows]:
    """The log lines of documents, by who they are from.

    Args:
        documents: each with `@timestamp`, in ISO 8601.
        keys: a name for each that no other document has, to tell a repetition from a line like another.
    """
    groups: dict[Origin, _Columns] = {}
    for fields, key in zip(documents, keys, strict=True):
        columns = groups.setdefault(origin_of(fields), _Columns())
        body = text(fields, *_MESSAGE)
        columns.times.append(fields[TIME][0])
        columns.bodies.append(_cut(body))
        columns.severities.append(_severity(fields))
        columns.trace_ids.append(hex_id(text(fields, "trace.id", "trace_id"), 16))
        columns.span_ids.append(hex_id(text(fields, "span.id", "span_id"), 8))
        columns.line_ids.append(line_id(fields, key))
    for origin, columns in groups.items():
        yield LogRows(
            service=origin.service,
            instance=origin.instance,
            identity=origin.identity,
            time_us=microseconds(columns.times),
            severity=np.array(columns.severities, np.uint8),
            template=coded(map(template_of, columns.bodies)),
            trace_id=id_column(columns.trace_ids, 16),
            span_id=id_column(columns.span_ids, 8),
            line_id=np.array(columns.line_ids, np.uint64),
            bodies=tuple(columns.bodies),
        )


def line_id(fields: Fields, key: str) -> int:
    """The id of a line, the same in each of its copies.

    Filebeat may send a line twice, which then are two documents: they have the same file, place and text.
    """
    path = text(fields, _PATH)
    if path and _OFFSET in fields:
        place = (text(fields, "host.name"), text(fields, "kubernetes.pod.name"), path)
        key = "\0".join((*place, str(fields[_OFFSET][0]), text(fields, *_MESSAGE)))
    return digest(key)


def digest(key: str) -> int:
    """Eight bytes of a name, never 0."""
    raw = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(raw, "little") or 1


def refused(fields: Fields, reason: str) -> Refused:
    """A document that can't be used, for the dead-letter topic."""
    document = json.dumps(dict(fields), ensure_ascii=False, default=str).encode("utf-8", "replace")
    return Refused(reason=reason, document=document)


def _severity(fields: Fields) -> int:
    given = number(fields, _NUMBER)
    if 0 < given <= 24:  # NaN is not
        return int(given)
    return _SEVERITY.get(text(fields, *_LEVEL).strip().lower(), 0)


def _cut(body: str) -> str:
    if len(body) * 4 <= _MAX_BODY_BYTES:
        return body
    return body.encode("utf-8", "replace")[:_MAX_BODY_BYTES].decode(errors="ignore")
