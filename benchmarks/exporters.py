"""Services that export on an interval, as SDKs do: `python -m benchmarks.exporters PORT SERVICES SECONDS`.

Each sends spans, points and lines of its own twice a second by HTTP: small bodies, each when it is due.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from benchmarks.senders import body_of, connected

_INTERVAL_S = 0.5
_SPANS, _LINES = 10, 8
_GAUGES, _SUMS, _HISTOGRAMS = 6, 4, 2
_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_CUMULATIVE = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE


class _Service:
    """Makes the bodies of one service, whose sums grow."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._start_ns = time.time_ns()
        self._requests = 0

    def traces(self) -> bytes:
        return body_of(self._name, _SPANS)

    def metrics(self) -> bytes:
        self._requests += _SPANS
        now_ns, start_ns, count = time.time_ns(), self._start_ns, self._requests
        level = NumberDataPoint(time_unix_nano=now_ns, as_double=random.random())
        total = NumberDataPoint(time_unix_nano=now_ns, start_time_unix_nano=start_ns, as_int=count)
        spread = HistogramDataPoint(
            time_unix_nano=now_ns,
            start_time_unix_nano=start_ns,
            count=count,
            sum=count * 0.003,
            bucket_counts=[count, *[0] * len(_BOUNDS)],
            explicit_bounds=_BOUNDS,
        )
        sums = Sum(data_points=[total], is_monotonic=True, aggregation_temporality=_CUMULATIVE)
        histogram = Histogram(data_points=[spread], aggregation_temporality=_CUMULATIVE)
        found = [
            *(Metric(name=f"level.{at}", gauge=Gauge(data_points=[level])) for at in range(_GAUGES)),
            *(Metric(name=f"requests.{at}", sum=sums) for at in range(_SUMS)),
            *(Metric(name=f"duration.{at}", histogram=histogram) for at in range(_HISTOGRAMS)),
        ]
        group = ResourceMetrics(resource=self._resource(), scope_metrics=[ScopeMetrics(metrics=found)])
        return ExportMetricsServiceRequest(resource_metrics=[group]).SerializeToString()

    def logs(self) -> bytes:
        lines = [
            LogRecord(
                time_unix_nano=time.time_ns(),
                severity_number=9,  # type: ignore[arg-type]  # the enum's own number for INFO
                body=AnyValue(string_value=f"served request {random.randrange(10**6)} in {at} ms"),
            )
            for at in range(_LINES)
        ]
        group = ResourceLogs(resource=self._resource(), scope_logs=[ScopeLogs(log_records=lines)])
        return ExportLogsServiceRequest(resource_logs=[group]).SerializeToString()

    def _resource(self) -> Resource:
        name = KeyValue(key="service.name", value=AnyValue(string_value=self._name))
        return Resource(attributes=[name])


async def _exporter(port: int, service: _Service, signal: str, until_s: float) -> int:
    """Exports one signal of a service until an instant of the monotonic clock; returns how often."""
    send = await connected(port, f"/v1/{signal}")
    due_s = time.monotonic() + random.random() * _INTERVAL_S
    requests = 0
    while due_s < until_s:
        await asyncio.sleep(due_s - time.monotonic())
        await send(getattr(service, signal)())
        requests += 1
        due_s += _INTERVAL_S
    return requests


async def _measured(port: int, services: int, seconds: float) -> dict[str, float]:
    began_s = time.monotonic()
    sent = await asyncio.gather(
        *(
            _exporter(port, service, signal, began_s + seconds)
            for service in [_Service(f"quiet-{number}") for number in range(services)]
            for signal in ("traces", "metrics", "logs")
        )
    )
    return {"requests": sum(sent), "elapsed_s": time.monotonic() - began_s}


def main() -> None:
    """Prints one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("services", type=int)
    parser.add_argument("seconds", type=float)
    given = parser.parse_args()
    print(json.dumps(asyncio.run(_measured(**vars(given)))))


if __name__ == "__main__":
    main()
