"""One stream of telemetry for every engine: packed for ours, one JSON record a message for the others.

Pure: a seed gives the same records for ever. Every service sends one packed message of metrics and one of
spans a second and one of logs every two, 100 records each unless another number is given; one in a hundred is
held back until it is late.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from microservo.domain.telemetry import Batch
from schemas.catalogue import SERVICE_FAULTS, TELEMETRY_LOGS, TELEMETRY_METRICS, TELEMETRY_TRACES
from schemas.records import LogBatch, MetricBatch, ServiceFault, SpanBatch

US = 1_000_000
RECORDS = 100
RUN_ID = "run-bench"
HELD_BACK_US = 8 * US
_TRANSIT_US = 50_000
_METRICS = tuple(f"process.metric.{number:02d}" for number in range(20))
_TEMPLATES = tuple(f"handled request <*> of kind {number} in <*> ms" for number in range(10))
_ENDPOINTS = ("Home", "GetCart", "AddItem", "PlaceOrder", "GetProduct")
_PEERS = ("", "cartservice", "productcatalogservice", "currencyservice")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the stream holds.

    Attributes:
        seed: of all that is drawn.
        start_us: first instant, a multiple of 10 s, so that windows of every engine begin there.
        seconds: event time covered.
        services: how many services send; each sends 2.5 messages a second.
        records: in each message.
        fault_every_s: a fault begins this often, lasts 20 s and changes its record three times.
    """

    seed: int = 7
    start_us: int = 1_800_000_000 * US
    seconds: int = 250
    services: int = 32
    records: int = RECORDS
    fault_every_s: int = 25

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"service-{number:02d}" for number in range(self.services))


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Sent:
    """One message, when it is sent, and what it is about; in order of time."""

    at_us: int
    topic: str
    service: str
    serial: int
    record: Batch | ServiceFault = field(compare=False)
    records: int = field(compare=False)


def messages(plan: Plan) -> Iterator[Sent]:
    """Every message in the order it is sent; silences are the sender's to fill with heartbeats."""
    rng = np.random.default_rng(plan.seed)
    waiting: list[Sent] = []
    serial = 0
    for second in range(plan.seconds):
        from_us = plan.start_us + second * US
        while waiting and waiting[0].at_us <= from_us:
            yield heapq.heappop(waiting)
        for number, service in enumerate(plan.names):
            # Services don't flush in step.
            shift_us = number * US // plan.services
            for topic, record in _batches(rng, service, second, from_us + shift_us, plan.records):
                held_us = HELD_BACK_US if rng.random() < 0.01 else 0
                at_us = from_us + shift_us + US + _TRANSIT_US + held_us
                sent = Sent(
                    at_us=at_us,
                    topic=topic,
                    service=service,
                    serial=serial,
                    record=record,
                    records=plan.records,
                )
                heapq.heappush(waiting, sent)
                serial += 1
        if second % plan.fault_every_s == plan.fault_every_s - 1:
            for sent in _fault(rng, plan, from_us, serial):
                heapq.heappush(waiting, sent)
            serial += 3
    while waiting:
        yield heapq.heappop(waiting)


def as_json(batch: Batch) -> Iterator[tuple[int, bytes]]:
    """The same records, one a message, each with its event time in microseconds."""
    if isinstance(batch, MetricBatch):
        columns = zip(
            _i8(batch.time_us), _u2(batch.name), np.frombuffer(batch.value, "<f8").tolist(), strict=True
        )
        rows = ({"ts": t / US, "name": batch.names[name], "value": value} for t, name, value in columns)
    elif isinstance(batch, LogBatch):
        severities = batch.severity
        columns_l = zip(_i8(batch.time_us), severities, batch.bodies, strict=True)
        rows = ({"ts": t / US, "severity": severity, "body": body} for t, severity, body in columns_l)
    else:
        columns_s = zip(
            _i8(batch.start_us), _i8(batch.duration_us), _u2(batch.endpoint), batch.error, strict=True
        )
        rows = (
            {"ts": (t + took) / US, "duration_us": took, "endpoint": batch.endpoints[at], "error": error}
            for t, took, at, error in columns_s
        )
    head = {"service": batch.service, "instance": batch.instances[0], "run_id": batch.run_id}
    return ((round(row["ts"] * US), json.dumps(head | row).encode()) for row in rows)


def _batches(
    rng: np.random.Generator, service: str, second: int, from_us: int, records: int
) -> Iterator[tuple[str, MetricBatch | LogBatch | SpanBatch]]:
    yield TELEMETRY_METRICS, _metrics(rng, service, from_us, records)
    yield TELEMETRY_TRACES, _spans(rng, service, from_us, records)
    if second % 2:
        yield TELEMETRY_LOGS, _logs(rng, service, from_us, records)


def _metrics(rng: np.random.Generator, service: str, from_us: int, records: int) -> MetricBatch:
    return MetricBatch(
        run_id=RUN_ID,
        service=service,
        instances=(f"{service}-0",),
        names=_METRICS,
        time_us=_times(rng, from_us, US, records),
        instance=bytes(2 * records),
        name=(np.arange(records) % len(_METRICS)).astype("<u2").tobytes(),
        value=rng.normal(50, 10, records).astype("<f8").tobytes(),
    )


def _logs(rng: np.random.Generator, service: str, from_us: int, records: int) -> LogBatch:
    templates = rng.integers(0, len(_TEMPLATES), records)
    numbers = rng.integers(0, 10_000, records)
    bodies = tuple(
        f"handled request {number} of kind {kind} in {number % 97} ms"
        for number, kind in zip(numbers.tolist(), templates.tolist(), strict=True)
    )
    return LogBatch(
        run_id=RUN_ID,
        service=service,
        instances=(f"{service}-0",),
        templates=_TEMPLATES,
        time_us=_times(rng, from_us - US, 2 * US, records),
        instance=bytes(2 * records),
        severity=rng.choice(np.array([9, 9, 9, 13, 17], np.uint8), records).tobytes(),
        template=templates.astype("<u2").tobytes(),
        trace_id=rng.bytes(16 * records),
        span_id=rng.bytes(8 * records),
        bodies=bodies,
    )


def _spans(rng: np.random.Generator, service: str, from_us: int, records: int) -> SpanBatch:
    duration_us = (rng.lognormal(9, 0.5, records)).astype("<i8")
    end_us = np.frombuffer(_times(rng, from_us, US, records), "<i8")
    return SpanBatch(
        run_id=RUN_ID,
        service=service,
        instances=(f"{service}-0",),
        endpoints=_ENDPOINTS,
        peers=_PEERS,
        start_us=(end_us - duration_us).astype("<i8").tobytes(),
        duration_us=duration_us.tobytes(),
        instance=bytes(2 * records),
        endpoint=rng.integers(0, len(_ENDPOINTS), records).astype("<u2").tobytes(),
        peer=rng.integers(0, len(_PEERS), records).astype("<u2").tobytes(),
        kind=rng.choice(np.array([2, 3], np.uint8), records).tobytes(),
        error=(rng.random(records) < 0.01).astype(np.uint8).tobytes(),
        trace_id=rng.bytes(16 * records),
        span_id=rng.bytes(8 * records),
        parent_id=rng.bytes(8 * records),
    )


def _fault(rng: np.random.Generator, plan: Plan, from_us: int, serial: int) -> Iterator[Sent]:
    """The three versions of one fault: requested, in force, recovered."""
    service = plan.names[int(rng.integers(plan.services))]
    applied_us, recovered_us = from_us + 300_000, from_us + 20 * US
    times = [(from_us, None, None), (applied_us, applied_us, None), (recovered_us, applied_us, recovered_us)]
    for version, (at_us, applied_at_us, recovered_at_us) in enumerate(times, 1):
        record = ServiceFault(
            run_id=RUN_ID,
            fault_id=f"fault-{from_us}",
            version=version,
            kind="cpu-hog",
            service=service,
            root_service=service,
            role="root_cause",
            hops=0,
            severity=0.5,
            requested_at_us=from_us,
            apply_commanded_at_us=applied_at_us,
            applied_at_us=applied_at_us,
            recovery_commanded_at_us=recovered_at_us,
            recovered_at_us=recovered_at_us,
        )
        yield Sent(
            at_us=at_us + 10_000,
            topic=SERVICE_FAULTS,
            service=service,
            serial=serial + version,
            record=record,
            records=1,
        )


def _times(rng: np.random.Generator, from_us: int, span_us: int, records: int) -> bytes:
    return (from_us + np.sort(rng.integers(0, span_us, records))).astype("<i8").tobytes()


def _i8(column: bytes) -> list[int]:
    return list(np.frombuffer(column, "<i8").tolist())


def _u2(column: bytes) -> list[int]:
    return list(np.frombuffer(column, "<u2").tolist())
