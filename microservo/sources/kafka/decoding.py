"""Messages of others to rows: those of one format together, in columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from microservo.adapters.broker import Message
from microservo.adapters.otlp.checks import Instants, Refused
from microservo.adapters.otlp.decoding import decode, decode_body
from microservo.adapters.otlp.line_ids import LineIds
from microservo.adapters.otlp.media import Media, TooLarge
from microservo.domain.rows import Rows
from microservo.domain.telemetry import Signal
from microservo.errors import InvalidMessage
from microservo.sources.documents.fields import TIME, Fields, flattened
from microservo.sources.documents.logs import digests, log_rows
from microservo.sources.kafka.formats import SIGNALS, document_of, format_of, is_json
from microservo.sources.kafka.jaeger import jaeger_request
from microservo.sources.kafka.settings import Format
from microservo.sources.prometheus.identity import subject_of
from microservo.sources.prometheus.owners import workload_of
from microservo.sources.prometheus.rows import looks_like_counter, sample_rows

_MAX_RECORDS = 100_000


@dataclass(slots=True)
class Decoded:
    """What some messages hold, by signal."""

    rows: dict[Signal, list[Rows]] = field(default_factory=dict)
    refused: dict[Signal, list[Refused]] = field(default_factory=dict)

    def add(self, signal: Signal, rows: Iterable[Rows], refused: Iterable[Refused] = ()) -> None:
        self.rows.setdefault(signal, []).extend(rows)
        self.refused.setdefault(signal, []).extend(refused)


def decode_messages(messages: Sequence[Message], formats: Mapping[str, Format], now_us: int) -> Decoded:
    """The rows of messages; those that can't be read are refused one by one.

    Args:
        messages: of any topics.
        formats: what those of a topic are, where that was declared.
        now_us: when they were read, microseconds UTC.
    """
    found = Decoded()
    documents: list[tuple[Fields, str]] = []
    samples: list[Mapping[str, Any]] = []
    for message in messages:
        value = message.value
        if not value:
            continue
        declared = formats.get(message.topic, "auto")
        try:
            known = format_of(value, message.topic) if declared == "auto" else declared
            if known == "documents":
                documents.append((_document(value), f"{message.topic}/{message.partition}/{message.offset}"))
            elif known == "prometheus":
                samples.append(_sample(value))
            elif known == "jaeger":
                one = decode(jaeger_request(value), Instants(now_us=now_us), LineIds(value))
                found.add("traces", one.rows, one.refused)
            else:
                media = Media.JSON if is_json(value) else Media.PROTOBUF
                body = decode_body(SIGNALS[known], media, value, Instants(now_us=now_us), _MAX_RECORDS)
                refused = [
                    replace(each, reason=_read_as(each.reason, known, message)) for each in body.refused
                ]
                found.add(SIGNALS[known], body.rows, refused)
        except (InvalidMessage, TooLarge) as error:
            signal = SIGNALS.get(declared, "logs")
            found.add(signal, (), [Refused(reason=str(error), document=value, content_type=_type(value))])
    if documents:
        fields, keys = zip(*documents, strict=True)
        found.add("logs", log_rows(fields, digests(keys)))
    if samples:
        found.add("metrics", _sampled(samples))
    return found


def _read_as(reason: str, known: Format, message: Message) -> str:
    """The reason with how the message was read: another signal on a topic gives errors of any sort."""
    others = ", ".join(sorted({"otlp_spans", "otlp_metrics", "otlp_logs"} - {known}))
    return (
        f"{reason}; a message of {message.topic} was read as {known}: "
        f"if it is one of {others}, say so in formats.{message.topic}"
    )


def _type(value: bytes) -> str:
    return "application/json" if is_json(value) else "application/octet-stream"


def _document(value: bytes) -> Fields:
    fields = flattened(document_of(value))
    written = fields.get(TIME, [None])[0]
    # Fluent Bit writes seconds unless it is told otherwise.
    if isinstance(written, int | float):
        fields[TIME] = [_iso(written)]
        return fields
    try:
        instant = datetime.fromisoformat(str(written))
    except ValueError as error:
        msg = f"{TIME} {written!r} of a document is no instant; expected ISO 8601 or seconds since 1970"
        raise InvalidMessage(msg) from error
    if instant.utcoffset() is None:
        msg = f"{TIME} {written!r} of a document has no time zone; expected one that ends in Z"
        raise InvalidMessage(msg)
    fields[TIME] = [instant.astimezone(UTC).isoformat().removesuffix("+00:00")]
    return fields


def _iso(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat().removesuffix("+00:00")
    except (OverflowError, ValueError, OSError) as error:
        msg = f"{TIME} {seconds!r} of a document is no instant; expected seconds since 1970"
        raise InvalidMessage(msg) from error


def _sample(value: bytes) -> Mapping[str, Any]:
    """A sample as Prometheus' own API gives a series of one."""
    document = document_of(value)
    labels, written = document.get("labels"), document.get("timestamp")
    try:
        seconds = datetime.fromisoformat(str(written)).timestamp()
        number = float(document["value"])
    except (KeyError, TypeError, ValueError) as error:
        msg = (
            f"sample has timestamp {written!r} and value {document.get('value')!r}; expected RFC 3339, number"
        )
        raise InvalidMessage(msg) from error
    if not isinstance(labels, dict):
        msg = f"labels of a sample are a JSON {type(labels).__name__}; expected an object"
        raise InvalidMessage(msg)
    named = {"__name__": str(document.get("name", ""))}
    return {"metric": named | {key: str(text) for key, text in labels.items()}, "values": [(seconds, number)]}


def _sampled(samples: Iterable[Mapping[str, Any]]) -> Iterable[Rows]:
    series: dict[tuple[tuple[str, str], ...], dict[str, Any]] = {}
    for each in samples:
        kept = series.setdefault(
            tuple(sorted(each["metric"].items())), {"metric": each["metric"], "values": []}
        )
        kept["values"] += each["values"]

    def of_job(labels: Mapping[str, str]) -> Any:
        return subject_of(labels, "job", lambda _, pod: workload_of(pod))

    return sample_rows("", series.values(), of_job, looks_like_counter, raw=True, after_us=0)
