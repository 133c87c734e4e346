"""Log records to rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from microservo.adapters.otlp.checks import Checks, Decoded, Instants, microseconds
from microservo.adapters.otlp.groups import decode_groups
from microservo.adapters.otlp.line_ids import LineIds
from microservo.adapters.otlp.resource import Origin, origin_of
from microservo.adapters.otlp.values import text_of
from microservo.domain.rows import LogRows, coded, id_column
from microservo.domain.telemetry import Int64, UInt64
from microservo.domain.templates import template_of

MAX_BODY_BYTES = 16 * 1024
_LAST_SEVERITY = 24


def decode_logs(request: ExportLogsServiceRequest, instants: Instants, line_ids: LineIds) -> Decoded:
    """The log records of a request as rows, one group per resource."""
    groups = (
        (group, [line for scope in group.scope_logs for line in scope.log_records])
        for group in request.resource_logs
    )
    columns = (
        (
            origin_of(group, group.scope_logs),
            _Columns.of(lines, line_ids.of_next(len(lines)), instants.now_us),
        )
        for group, lines in groups
        if lines
    )
    return decode_groups(columns, instants)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    """The fields of many log records, a list for each; bodies are read once they are known to be wanted."""

    records: Sequence[LogRecord]
    line_ids: UInt64
    event_us: Int64
    severities: list[int]
    trace_ids: list[bytes]
    span_ids: list[bytes]

    @classmethod
    def of(cls, lines: Sequence[LogRecord], line_ids: UInt64, now_us: int) -> _Columns:
        now_ns = now_us * 1000
        return cls(
            records=lines,
            line_ids=line_ids,
            event_us=microseconds(
                [line.time_unix_nano or line.observed_time_unix_nano or now_ns for line in lines]
            ),
            severities=[line.severity_number for line in lines],
            trace_ids=[line.trace_id for line in lines],
            span_ids=[line.span_id for line in lines],
        )

    def faults(self, now_us: int) -> dict[int, str]:
        checks = Checks()
        checks.refuse_times(self.event_us, now_us)
        checks.refuse_ids(self.trace_ids, 16, "trace id", optional=True)
        checks.refuse_ids(self.span_ids, 8, "span id", optional=True)
        if not 0 <= min(self.severities) <= max(self.severities) <= _LAST_SEVERITY:
            outside = [not 0 <= severity <= _LAST_SEVERITY for severity in self.severities]
            checks.refuse(outside, f"severity number is not within 0 to {_LAST_SEVERITY}")
        return checks.reasons

    def kept(self, positions: Sequence[int]) -> _Columns:
        return _Columns(
            records=[self.records[at] for at in positions],
            line_ids=self.line_ids[positions],
            event_us=self.event_us[positions],
            severities=[self.severities[at] for at in positions],
            trace_ids=[self.trace_ids[at] for at in positions],
            span_ids=[self.span_ids[at] for at in positions],
        )

    def rows(self, origin: Origin) -> LogRows:
        bodies = tuple([_body(line) for line in self.records])
        return LogRows(
            service=origin.service,
            instance=origin.instance,
            identity=origin.identity,
            scopes=origin.scopes,
            time_us=self.event_us,
            severity=np.array(self.severities, np.uint8),
            template=coded(map(template_of, bodies)),
            trace_id=id_column(self.trace_ids, 16),
            span_id=id_column(self.span_ids, 8),
            line_id=self.line_ids,
            bodies=bodies,
        )


def _body(line: LogRecord) -> str:
    """The text of a line, cut to 16 KiB of UTF-8 between two characters."""
    text = text_of(line.body)
    if len(text) * 4 <= MAX_BODY_BYTES:
        return text
    return text.encode()[:MAX_BODY_BYTES].decode(errors="ignore")
