"""Requests of remote write to rows.

Source: Prometheus Remote-Write 1.0 and 2.0 specifications, `prompb/remote.proto` and
`prompb/io/prometheus/write/v2/types.proto`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cramjam
from google.protobuf.message import DecodeError

from microservo.adapters.otlp.media import MAX_BODY_BYTES, TooLarge
from microservo.adapters.protobuf_types import message_types
from microservo.domain.rows import PointRows
from microservo.errors import InvalidMessage
from microservo.sources.prometheus.rows import SubjectOf, looks_like_counter, sample_rows

_SAMPLE = (("value", 1, "double"), ("timestamp", 2, "int64"))
_VERSION_1 = message_types(
    "microservo.remote_write.v1",
    {
        "WriteRequest": (("timeseries", 1, "repeated TimeSeries"), ("metadata", 3, "repeated Metadata")),
        "TimeSeries": (("labels", 1, "repeated Label"), ("samples", 2, "repeated Sample")),
        "Label": (("name", 1, "string"), ("value", 2, "string")),
        "Sample": _SAMPLE,
        "Metadata": (("type", 1, "int32"), ("metric_family_name", 2, "string")),
    },
    {},
)["WriteRequest"]
_VERSION_2 = message_types(
    "microservo.remote_write.v2",
    {
        "Request": (("symbols", 4, "repeated string"), ("timeseries", 5, "repeated TimeSeries")),
        "TimeSeries": (
            ("labels_refs", 1, "repeated uint32"),
            ("samples", 2, "repeated Sample"),
            ("metadata", 5, "Metadata"),
        ),
        "Sample": _SAMPLE,
        "Metadata": (("type", 1, "int32"),),
    },
    {},
)["Request"]
_COUNTER, _GAUGE = 1, 2

Labels = Mapping[str, str]
Series = tuple[Labels, Sequence[tuple[float, float]], int]
"""Labels, samples as seconds and value, and the type of the metric; 0 where it is not said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a request holds.

    Attributes:
        samples: how many, those that say that a series ended included.
    """

    rows: tuple[PointRows, ...]
    samples: int


def unpacked(body: bytes) -> bytes:
    """A body without its compression: snappy's block format.

    Raises:
        TooLarge: it would be larger than 64 MiB.
        InvalidMessage: it is not compressed so.
    """
    # How large it becomes stands at its beginning.
    size = shift = 0
    for byte in body[:5]:
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    if size > MAX_BODY_BYTES:
        msg = f"body of {size} bytes, once unpacked, is larger than {MAX_BODY_BYTES}; send smaller batches"
        raise TooLarge(msg)
    try:
        return bytes(cramjam.snappy.decompress_raw(body))
    except cramjam.DecompressionError as error:
        msg = f"body of {len(body)} bytes is no snappy block: {error}"
        raise InvalidMessage(msg) from error


def read_request(body: bytes, version: int, subject_of: SubjectOf, *, raw: bool) -> Written:
    """The samples of a request.

    Args:
        body: unpacked.
        version: 1 or 2.
        subject_of: whom a series is about; those of nobody are left out.
        raw: whether values of counters go on, too.

    Raises:
        InvalidMessage: it is no such request.
    """
    try:
        series = list((_series_1 if version == 1 else _series_2)(body))
    except (DecodeError, IndexError) as error:
        msg = f"body of {len(body)} bytes is no request of remote write {version}.0: {str(error)[:200]}"
        raise InvalidMessage(msg) from error
    types = {labels.get("__name__", ""): kind for labels, _, kind in series if kind}

    def is_counter(metric: str) -> bool:
        known = types.get(metric, 0)
        return known == _COUNTER if known in (_COUNTER, _GAUGE) else looks_like_counter(metric)

    result = [{"metric": labels, "values": samples} for labels, samples, _ in series]
    rows = tuple(sample_rows("", result, subject_of, is_counter, raw=raw, after_us=0))
    return Written(rows=rows, samples=sum(len(samples) for _, samples, _ in series))


def _series_1(body: bytes) -> Iterator[Series]:
    request = _parsed(_VERSION_1, body)
    types = {each.metric_family_name: each.type for each in request.metadata}
    for each in request.timeseries:
        labels = {label.name: label.value for label in each.labels}
        yield labels, _samples(each), types.get(labels.get("__name__", ""), 0)


def _series_2(body: bytes) -> Iterator[Series]:
    request = _parsed(_VERSION_2, body)
    symbols = list(request.symbols)
    for each in request.timeseries:
        refs = [symbols[ref] for ref in each.labels_refs]
        yield dict(zip(refs[::2], refs[1::2], strict=False)), _samples(each), each.metadata.type


def _samples(series: Any) -> Sequence[tuple[float, float]]:
    return [(sample.timestamp / 1000, sample.value) for sample in series.samples]


def _parsed(kind: Callable[[], Any], body: bytes) -> Any:
    request = kind()
    request.ParseFromString(body)
    return request
