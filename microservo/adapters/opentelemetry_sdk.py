"""The OpenTelemetry SDK as the processes of the target use it: spans, logs, metrics, out by OTLP/HTTP.

Exports run in the SDK's own threads from bounded queues; while a collector is down, the overflow is dropped.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

import requests
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs._internal import SynchronousMultiLogRecordProcessor
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SynchronousMultiSpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import Span, SpanKind, Tracer, format_span_id, format_trace_id, set_span_in_context

from microservo.adapters.otlp.resource import KIND, TARGET
from microservo.domain.identity import Kind

_QUEUE = 4096
_BATCH = 512
_EXPORT_EVERY_MS = 500
_METRICS_EVERY_MS = 1000
_EXPORT_TIMEOUT_S = 3.0
FIRST_VERSION = "1.0.0"
"""`service.version` of a process that has just been started."""
_TIMED = (
    "opentelemetry.sdk.trace",
    "opentelemetry.sdk._logs._internal",
    "opentelemetry.sdk.metrics._internal._view_instrument_match",
    "opentelemetry.sdk.metrics._internal.instrument",
    "opentelemetry.sdk.metrics._internal.metric_reader_storage",
)
"""The modules of the SDK that read the clock for what they send."""
_SEVERITY = {"INFO": SeverityNumber.INFO, "WARNING": SeverityNumber.WARN, "ERROR": SeverityNumber.ERROR}

Reading = Callable[[], float | None]


class Instrumentation:
    """The telemetry of one process; what the environment says to SDKs and HTTP clients changes none of it.

    Args:
        service: `service.name` of everything that is sent.
        instance: `service.instance.id`.
        otlp_url: base address of the collector, as in `http://127.0.0.1:4318`.
        kind: what the process is.
        clock_ns: the times of everything that is sent, epoch nanoseconds UTC; the machine's if not given.
    """

    def __init__(
        self,
        *,
        service: str,
        instance: str,
        otlp_url: str,
        kind: Kind = "service",
        clock_ns: Callable[[], int] | None = None,
    ) -> None:
        _quieten_exporters()
        _forget_environment()
        self._names = {"service": service, "instance": instance}
        self._kind: Kind = kind
        self._base = otlp_url.rstrip("/")
        self._clock_ns = clock_ns or time.time_ns
        if clock_ns is not None:
            _set_clock(clock_ns)
        self._ids = _GivenTraceIds()
        # Of all versions, so that a span that begins with one and ends with the next is sent too.
        self._span_processor = _span_processor(f"{self._base}/v1/traces")
        self._log_processor = _log_processor(f"{self._base}/v1/logs")
        self._counters: dict[str, Reading] = {}
        self._gauges: dict[str, tuple[Reading, str]] = {}
        self._start(FIRST_VERSION)

    def _start(self, version: str) -> None:
        self.version = version
        resource = Resource.create(
            {
                "service.name": self._names["service"],
                "service.instance.id": self._names["instance"],
                "service.version": version,
                "host.name": platform.node(),
                "process.pid": os.getpid(),
                KIND: self._kind,
                TARGET: True,
            }
        )
        self._traces = TracerProvider(
            resource=resource,
            shutdown_on_exit=False,
            id_generator=self._ids,
            active_span_processor=self._span_processor,
        )
        self._logs = LoggerProvider(
            resource=resource, shutdown_on_exit=False, multi_log_record_processor=self._log_processor
        )
        self._metrics = _meter_provider(resource, f"{self._base}/v1/metrics")
        self.tracer: Tracer = self._traces.get_tracer("microservo.target")
        self._logger = self._logs.get_logger("microservo.target")
        self._meter = self._metrics.get_meter("microservo.target")
        for name, read in self._counters.items():
            self._meter.create_observable_counter(name, callbacks=[_callback(read)])
        for name, (read, unit) in self._gauges.items():
            self._meter.create_observable_gauge(name, callbacks=[_callback(read)], unit=unit)

    def release(self, version: str) -> None:
        """Everything that begins from now on bears another `service.version`."""
        before = self._metrics
        self._start(version)
        # Sends once more what the earlier version measured, which may take seconds.
        threading.Thread(target=before.shutdown, daemon=True).start()

    def start_trace(self, name: str, trace_id: int, *, kind: SpanKind, attributes: Mapping[str, str]) -> Span:
        """Starts the first span of a trace whose id is given; from one thread only."""
        self._ids.next = trace_id
        return self.tracer.start_span(name, context=Context(), kind=kind, attributes=attributes)

    def log(
        self, level: str, message: str, span: Span | None = None, exception: BaseException | None = None
    ) -> None:
        """Writes one line: JSON on stdout and an OTLP log record, both with the ids of the span.

        The level is INFO, WARNING or ERROR.
        """
        now_ns = self._clock_ns()
        record = LogRecord(
            timestamp=now_ns,
            observed_timestamp=now_ns,
            context=set_span_in_context(span) if span else None,
            severity_text=level,
            severity_number=_SEVERITY[level],
            body=message,
            exception=exception,
        )
        self._logger.emit(record)
        # The log may lie on a disk that is full, and a request must not fail for that.
        with contextlib.suppress(OSError):
            sys.stdout.write(self._line(now_ns, level, message, span, exception))
            sys.stdout.flush()

    def counter(self, name: str, read: Reading) -> None:
        """Reports a sum that only grows, as `read` gives it at each export."""
        self._counters[name] = read
        self._meter.create_observable_counter(name, callbacks=[_callback(read)])

    def gauge(self, name: str, read: Reading, unit: str = "") -> None:
        """Reports a value as `read` gives it at each export; None reports nothing."""
        self._gauges[name] = (read, unit)
        self._meter.create_observable_gauge(name, callbacks=[_callback(read)], unit=unit)

    def shutdown(self, timeout_s: float) -> bool:
        """Sends what is waiting; False when that took longer than `timeout_s` and was given up."""
        deadline_s = time.monotonic() + timeout_s
        closing = [
            threading.Thread(target=close, daemon=True)
            for close in (self._traces.shutdown, self._logs.shutdown, self._metrics.shutdown)
        ]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join(max(0.0, deadline_s - time.monotonic()))
        return not any(thread.is_alive() for thread in closing)

    def _line(
        self, now_ns: int, level: str, message: str, span: Span | None, exception: BaseException | None
    ) -> str:
        now = datetime.fromtimestamp(now_ns // 1000 / 1e6, UTC)
        fields: dict[str, object] = {"ts": now.isoformat(timespec="microseconds"), "level": level}
        fields.update(self._names)
        if span is not None:
            context = span.get_span_context()
            fields["trace_id"] = format_trace_id(context.trace_id)
            fields["span_id"] = format_span_id(context.span_id)
        fields["message"] = message
        if exception is not None:
            fields["exception"] = type(exception).__name__
        return json.dumps(fields, separators=(",", ":")) + "\n"


def prometheus_text(values: Mapping[str, float | None]) -> str:
    """The values in the Prometheus text format, dots turned to underscores; None is left out."""
    lines = (
        f"{name.replace('.', '_')} {value:.17g}\n" for name, value in values.items() if value is not None
    )
    return "".join(lines)


class _GivenTraceIds(RandomIdGenerator):
    """Random ids, but for a trace whose id was given before it is started."""

    def __init__(self) -> None:
        self.next: int | None = None

    def generate_trace_id(self) -> int:
        given, self.next = self.next, None
        return super().generate_trace_id() if given is None else given


def _span_processor(url: str) -> SynchronousMultiSpanProcessor:
    exporter = OTLPSpanExporter(
        endpoint=url, timeout=_EXPORT_TIMEOUT_S, compression=Compression.Gzip, session=_direct()
    )
    processor = SynchronousMultiSpanProcessor()  # type: ignore[no-untyped-call]
    processor.add_span_processor(
        BatchSpanProcessor(
            exporter,
            max_queue_size=_QUEUE,
            schedule_delay_millis=_EXPORT_EVERY_MS,
            max_export_batch_size=_BATCH,
        )
    )
    return processor


def _log_processor(url: str) -> SynchronousMultiLogRecordProcessor:
    exporter = OTLPLogExporter(
        endpoint=url, timeout=_EXPORT_TIMEOUT_S, compression=Compression.Gzip, session=_direct()
    )
    processor = SynchronousMultiLogRecordProcessor()  # type: ignore[no-untyped-call]
    processor.add_log_record_processor(
        BatchLogRecordProcessor(
            exporter,
            max_queue_size=_QUEUE,
            schedule_delay_millis=_EXPORT_EVERY_MS,
            max_export_batch_size=_BATCH,
        )
    )
    return processor


def _meter_provider(resource: Resource, url: str) -> MeterProvider:
    exporter = OTLPMetricExporter(
        endpoint=url, timeout=_EXPORT_TIMEOUT_S, compression=Compression.Gzip, session=_direct()
    )
    reader = PeriodicExportingMetricReader(
        exporter, export_interval_millis=_METRICS_EVERY_MS, export_timeout_millis=_METRICS_EVERY_MS
    )
    return MeterProvider(metric_readers=[reader], resource=resource, shutdown_on_exit=False)


def _set_clock(clock_ns: Callable[[], int]) -> None:
    """Has the SDK, which takes no clock as an argument, read another one in all of this process."""
    for name in _TIMED:
        vars(importlib.import_module(name))["time_ns"] = clock_ns


def _callback(read: Reading) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observe(_: CallbackOptions) -> list[Observation]:
        value = read()
        return [] if value is None else [Observation(value)]

    return observe


class _AtMostEvery(logging.Filter):
    """Lets one record through per `period_s`: a collector that is down would fill the log."""

    def __init__(self, period_s: float) -> None:
        super().__init__()
        self._period_s = period_s
        self._next_s = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        now_s = time.monotonic()
        if now_s < self._next_s:
            return False
        self._next_s = now_s + self._period_s
        return True


def _direct() -> requests.Session:
    """A session that no proxy or `.netrc` of the user's gets between."""
    session = requests.Session()
    session.trust_env = False
    return session


def _forget_environment() -> None:
    """Takes `OTEL_*` out of this process's environment: it may disable, sample or relabel what is sent.

    Not all of it can be outdone by arguments; `OTEL_SDK_DISABLED` can't.
    """
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        del os.environ[name]


def _quieten_exporters() -> None:
    """The SDK's own complaints go to stderr, seldom, and never into the telemetry."""
    logger = logging.getLogger("opentelemetry")
    if logger.handlers:
        return
    handler = logging.StreamHandler()
    handler.addFilter(_AtMostEvery(30.0))
    logger.addHandler(handler)
    logger.propagate = False
