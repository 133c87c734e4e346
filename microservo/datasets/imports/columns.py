"""Rows of one instance from lists of values."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from microservo.adapters.otlp.logs import MAX_BODY_BYTES
from microservo.domain.bounded_names import MAX_NAME_CHARS, cut
from microservo.domain.rows import Coded, LogRows, MetricRows, SpanRows, coded, id_column, renamed
from microservo.domain.telemetry import INTERNAL_SPAN, SERVER_SPAN

_INFO = 9
_MOST_ROWS = 50_000


@dataclass(slots=True)
class Points:
    """Metric points of one instance, until they are many enough."""

    service: str
    instance: str = ""
    times: list[int] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add(self, time_us: int, name: str, value: float) -> None:
        """Adds a point; one without a value is none."""
        if np.isfinite(value):
            self.times.append(time_us)
            self.names.append(name)
            self.values.append(value)

    def clear(self) -> None:
        """Forgets what was added."""
        self.times, self.names, self.values = [], [], []

    @property
    def is_full(self) -> bool:
        return len(self.times) >= _MOST_ROWS

    def rows(self) -> MetricRows:
        """What was added."""
        return MetricRows(
            service=self.service,
            instance=self.instance,
            time_us=np.array(self.times, np.int64),
            name=_cut(coded(self.names)),
            value=np.array(self.values, np.float64),
        )


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a log; `place` tells it from an equal one of the same file."""

    time_us: int
    body: str
    template: str = ""
    severity: int = _INFO
    trace_id: str = ""
    span_id: str = ""
    place: int = 0


@dataclass(frozen=True, slots=True)
class Span:
    """A span; ids as the file has them."""

    service: str
    instance: str
    start_us: int
    duration_us: int
    operation: str
    trace_id: str
    span_id: str
    parent_id: str
    failed: bool = False


def line_rows(service: str, instance: str, lines: Sequence[Line]) -> LogRows:
    """Lines of one instance; each has an id, so that it counts once however often it is shipped."""
    return LogRows(
        service=service,
        instance=instance,
        time_us=np.array([each.time_us for each in lines], np.int64),
        severity=np.array([each.severity for each in lines], np.uint8),
        template=_cut(coded(each.template for each in lines)),
        trace_id=id_column((_id(each.trace_id, 16) for each in lines), 16),
        span_id=id_column((_id(each.span_id, 8) for each in lines), 8),
        line_id=np.array([_line_id(each) for each in lines], np.uint64),
        bodies=tuple(_body(each.body) for each in lines),
    )


def parent_services(spans: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The service of each span by its id, from pairs of both; the first of two spans with one id counts."""
    names: dict[str, str] = {}
    found: dict[str, str] = {}
    for span_id, service in spans:
        # One text for each service, however many rows name it.
        found.setdefault(span_id, names.setdefault(service, service))
    return found


def span_rows(spans: Sequence[Span], service_of: Mapping[str, str]) -> list[SpanRows]:
    """Spans, those of each instance together.

    One whose parent is of another service, or is not there, served a request: such files do not tell.

    Args:
        spans: of any instances.
        service_of: the service of each span by its id.
    """
    grouped: dict[tuple[str, str], list[Span]] = {}
    for each in spans:
        grouped.setdefault((each.service, each.instance), []).append(each)
    return [_span_rows(*owner, own, service_of) for owner, own in grouped.items()]


def _span_rows(service: str, instance: str, spans: Sequence[Span], service_of: Mapping[str, str]) -> SpanRows:
    count = len(spans)
    return SpanRows(
        service=service,
        instance=instance,
        start_us=np.array([each.start_us for each in spans], np.int64),
        duration_us=np.array([each.duration_us for each in spans], np.int64),
        endpoint=_cut(coded(each.operation for each in spans)),
        peer=coded([""] * count),
        address=coded([""] * count),
        kind=np.array(
            [INTERNAL_SPAN if service_of.get(each.parent_id) == service else SERVER_SPAN for each in spans],
            np.uint8,
        ),
        protocol=np.zeros(count, np.uint8),
        error=np.array([each.failed for each in spans], np.uint8),
        trace_id=id_column((_id(each.trace_id, 16) for each in spans), 16),
        span_id=id_column((_id(each.span_id, 8) for each in spans), 8),
        parent_id=id_column((_id(each.parent_id, 8) for each in spans), 8),
    )


def _cut(names: Coded) -> Coded:
    """The same names, as long as those of others may be."""
    return (
        renamed(names, map(cut, names.names))
        if max(map(len, names.names), default=0) > MAX_NAME_CHARS
        else names
    )


def _body(text: str) -> str:
    """As much of a line as of any other."""
    if len(text) * 4 <= MAX_BODY_BYTES:
        return text
    return text.encode("utf-8", "surrogatepass")[:MAX_BODY_BYTES].decode("utf-8", "ignore")


def _id(text: str, width: int) -> bytes:
    """The bytes of an id; of one that is not written in so many, the same ones for the same text."""
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b"?"
    if not text or len(found) == width:
        return found
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=width).digest()


def _line_id(line: Line) -> int:
    said = f"{line.place} {line.time_us} {line.body}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(said, digest_size=8).digest(), "little") or 1
