"""A small system in numbers: users, a front end, the service under test, one behind it, natural noise.

Arrivals come in bursts under a load that drifts, durations are lognormal about a level that wanders, some
seconds are slow for everyone, a few calls fail. Faults change it where they would.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from microservo.domain.effects import EffectObserver
from microservo.domain.faults.catalogue import KINDS
from schemas.records import FaultEffect, FaultVerdict, MetricBatch, Relation, ServiceFault, SpanBatch

RUN = "run-1"
SECOND_US = 1_000_000
START_US = 1_700_000_000 * SECOND_US
USERS, FRONT, ROOT, BEHIND = "loadgen", "frontend", "cart", "redis"
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Change:
    """What a fault does from when until when, in seconds of the simulation.

    Attributes:
        delay_ms: added to a share of the calls to the root, likewise `failing`.
        work_ms: the root works so much longer on each.
        failing: they fail at once and never reach the root.
        is_paused: nothing is answered until the end; callers wait for a second at most.
        cores: burnt beside the root; likewise `held_bytes`.
        times: as many users come.
    """

    from_s: float = 0.0
    until_s: float = 0.0
    share: float = 1.0
    delay_ms: float = 0.0
    work_ms: float = 0.0
    failing: bool = False
    is_paused: bool = False
    cores: float = 0.0
    held_bytes: float = 0.0
    times: float = 1.0

    def inside(self, seconds: NDArray[np.int64]) -> FloatArray:
        """Which part of each second lies in it."""
        begin, end = np.maximum(seconds, self.from_s), np.minimum(seconds + 1, self.until_s)
        return np.clip(end - begin, 0, 1)


@dataclass(kw_only=True)
class Simulation:
    """Telemetry of so many seconds; the same for the same seed."""

    seconds: int
    seed: int
    per_second: float = 20.0
    changes: list[Change] = field(default_factory=list)
    error_share: float = 0.003

    def batches(self, step_s: int = 1) -> Iterator[tuple[int, list[SpanBatch | MetricBatch]]]:
        """Batches of some seconds each, with the instant up to which all has come then."""
        calls = self._calls(np.random.default_rng((self.seed, 1)), np.random.default_rng((self.seed, 2)))
        user, served = calls.user(), calls.served()
        spans = [
            _Spans(service=USERS, kind=3, endpoint="GET /", peer=FRONT, rows=user),
            _Spans(service=FRONT, kind=2, endpoint="GET /", peer="", rows=user),
            _Spans(service=FRONT, kind=3, endpoint="GetCart", peer=ROOT, rows=calls.made()),
            _Spans(service=ROOT, kind=2, endpoint="GetCart", peer="", rows=served),
            _Spans(service=ROOT, kind=3, endpoint="Get", peer=BEHIND, rows=served.halved()),
            _Spans(service=BEHIND, kind=2, endpoint="Get", peer="", rows=served.halved()),
        ]
        steps = np.append(np.arange(0, self.seconds, step_s), self.seconds)
        edges_us = START_US + steps * SECOND_US
        places = [np.searchsorted(each.end_us, edges_us) for each in spans]
        levels = self._levels(np.random.default_rng((self.seed, 3))) | calls.network(self.seconds)
        for step, (first, last) in enumerate(itertools.pairwise(steps.tolist())):
            found: list[SpanBatch | MetricBatch] = [
                each.batch(place[step], place[step + 1])
                for each, place in zip(spans, places, strict=True)
                if place[step + 1] > place[step]
            ]
            found.append(_points(levels, first, last))
            yield int(edges_us[step + 1]), found

    def _calls(self, rng: np.random.Generator, chance: np.random.Generator) -> _Calls:
        seconds = np.arange(self.seconds)
        load = self.per_second * (1 + 0.3 * np.sin(2 * np.pi * seconds / 600 + rng.uniform(0, 6)))
        load = load * np.exp(_wandering(rng, self.seconds, 0.9, 0.25))
        for change in self.changes:
            load = load * (1 + (change.times - 1) * change.inside(seconds))
        counts = rng.poisson(load)
        begin_s = np.sort(np.repeat(seconds, counts) + rng.uniform(0, 1, counts.sum()))
        level = np.exp(_wandering(rng, self.seconds, 0.97, 0.15))
        level *= np.where(rng.random(self.seconds) < 0.01, rng.uniform(3, 10, self.seconds), 1.0)
        size = len(begin_s)
        serve_ms = 4.0 * rng.lognormal(0, 0.5, size) * level[begin_s.astype(np.int64)]
        wire_ms = rng.lognormal(-1, 0.4, size)
        failed = rng.random(size) < self.error_share
        is_in = np.ones(size, np.bool_)
        wait_ms = np.zeros(size)
        for change in self.changes:
            hit = (begin_s >= change.from_s) & (begin_s < change.until_s)
            hit &= chance.random(size) < change.share
            wait_ms += np.where(hit, change.delay_ms, 0.0)
            serve_ms += np.where(hit, change.work_ms, 0.0)
            if change.failing:
                failed |= hit
                is_in &= ~hit
            if change.is_paused:
                left_ms = (change.until_s - begin_s) * 1000
                failed |= hit & (left_ms > 1000)
                wait_ms += np.where(hit, np.minimum(left_ms, 1000.0), 0.0)
                is_in &= ~(hit & (left_ms > 1000))
        return _Calls(
            begin_s=begin_s, serve_ms=serve_ms, wire_ms=wire_ms + wait_ms, failed=failed, is_in=is_in
        )

    def _levels(self, rng: np.random.Generator) -> dict[str, FloatArray]:
        seconds = np.arange(self.seconds)
        cores = np.maximum(0.001, 0.08 * np.exp(_wandering(rng, self.seconds, 0.7, 0.3)))
        memory = 60e6 + 8e6 * ((seconds % 47) / 47) + _wandering(rng, self.seconds, 0.9, 3e5)
        for change in self.changes:
            inside = change.inside(seconds)
            cores += change.cores * inside
            memory += change.held_bytes * (inside > 0.5)
        return {"process.cpu.utilization": cores, "process.memory.usage": memory}


@dataclass(kw_only=True)
class _Calls:
    begin_s: FloatArray
    serve_ms: FloatArray
    wire_ms: FloatArray
    failed: NDArray[np.bool_]
    is_in: NDArray[np.bool_]

    def made(self) -> _Rows:
        """The calls, as the caller sees them."""
        call_ms = self.wire_ms + np.where(self.is_in, self.serve_ms, 0.0)
        return _Rows(_micro(self.begin_s) + 300, _micro(call_ms / 1000) - START_US, self.failed)

    def network(self, seconds: int) -> dict[str, FloatArray]:
        """What a proxy before the root says of each second; NaN where nothing was answered."""
        made = self.made()
        second = (made.begin_us + made.duration_us - START_US) // SECOND_US
        order = np.argsort(second, kind="stable")
        groups = np.split(order, np.searchsorted(second[order], np.arange(1, seconds)))
        quantiles = np.full((2, seconds), np.nan)
        failures = np.zeros(seconds)
        for number, rows in enumerate(groups):
            if len(rows):
                quantiles[:, number] = np.quantile(made.duration_us[rows] / 1000, (0.5, 0.99))
                failures[number] = made.failed[rows].sum()
        return {
            "network.request.duration.p50": quantiles[0],
            "network.request.duration.p99": quantiles[1],
            "network.responses.5xx": failures,
            "network.requests.count": np.bincount(made.second_begun, minlength=seconds)[:seconds].astype(
                np.float64
            ),
        }

    def user(self) -> _Rows:
        """The requests of users, each with one call."""
        made = self.made()
        return _Rows(made.begin_us - 300, made.duration_us + 900, made.failed)

    def served(self) -> _Rows:
        """The requests of the root: of calls that reached it."""
        begin_us = _micro(self.begin_s + self.wire_ms / 1000) + 300
        rows = self.is_in
        return _Rows(begin_us[rows], _micro(self.serve_ms / 1000)[rows] - START_US, self.failed[rows])


class _Rows(NamedTuple):
    """Spans of one kind."""

    begin_us: NDArray[np.int64]
    duration_us: NDArray[np.int64]
    failed: NDArray[np.bool_]

    @property
    def second_begun(self) -> NDArray[np.int64]:
        """In which second of the simulation each began."""
        return (self.begin_us - START_US) // SECOND_US

    def halved(self) -> _Rows:
        """Calls that take half of the time and never fail."""
        return _Rows(self.begin_us, self.duration_us // 2, np.zeros(len(self.begin_us), np.bool_))


class _Spans:
    """All spans of one kind of a service, by their end."""

    def __init__(self, *, service: str, kind: int, endpoint: str, peer: str, rows: _Rows) -> None:
        self.service, self.kind, self.endpoint, self.peer = service, kind, endpoint, peer
        order = np.argsort(rows.begin_us + rows.duration_us, kind="stable")
        self.begin_us, self.duration_us, self.failed = (column[order] for column in rows)
        self.end_us = self.begin_us + self.duration_us

    def batch(self, first: int, last: int) -> SpanBatch:
        rows = slice(first, last)
        count = last - first
        ids = np.arange(first, last, dtype="<u8")
        label = np.frombuffer(f"{self.service}{self.kind}".encode().ljust(8, b"_")[:8], "<u8")
        traces = np.stack((ids, np.repeat(label, count)), axis=1)
        return SpanBatch(
            run_id=RUN,
            service=self.service,
            instances=(f"{self.service}-0",),
            endpoints=(self.endpoint,),
            peers=(self.peer,),
            start_us=self.begin_us[rows].astype("<i8").tobytes(),
            duration_us=self.duration_us[rows].astype("<i8").tobytes(),
            instance=bytes(2 * count),
            endpoint=bytes(2 * count),
            peer=bytes(2 * count),
            kind=bytes([self.kind]) * count,
            error=self.failed[rows].astype(np.uint8).tobytes(),
            trace_id=traces.tobytes(),
            span_id=ids.tobytes(),
            parent_id=bytes(8 * count),
        )


def _micro(seconds: FloatArray) -> NDArray[np.int64]:
    """Instants of the simulation."""
    return START_US + np.rint(seconds * 1e6).astype(np.int64)


def _points(levels: dict[str, FloatArray], first: int, last: int) -> MetricBatch:
    """The points of some seconds, one of each metric at the end of each second."""
    values = np.stack([values[first:last] for values in levels.values()])
    times_us = START_US + (np.arange(first, last) + 1) * SECOND_US - 1000
    return MetricBatch(
        run_id=RUN,
        service=ROOT,
        instances=(f"{ROOT}-0",),
        names=tuple(levels),
        time_us=np.tile(times_us, len(levels)).astype("<i8").tobytes(),
        instance=bytes(2 * values.size),
        name=np.repeat(np.arange(len(levels), dtype="<u2"), last - first).tobytes(),
        value=values.astype("<f8").tobytes(),
    )


def _wandering(rng: np.random.Generator, size: int, memory: float, spread: float) -> FloatArray:
    """A process that returns to zero slowly (AR(1)) of a stationary spread."""
    steps = rng.normal(0, spread * np.sqrt(1 - memory**2), size)
    found = np.empty(size)
    value = rng.normal(0, spread)
    for place, step in enumerate(steps):
        value = memory * value + step
        found[place] = value
    return found


RELATIONS: Mapping[str, tuple[Relation, int]] = {
    ROOT: ("root", 0),
    FRONT: ("caller", 1),
    USERS: ("user", 2),
    BEHIND: ("callee", 1),
}


def instant_us(second: float) -> int:
    """An instant of the simulation, microseconds UTC."""
    return START_US + round(second * SECOND_US)


def fault_records(
    fault_id: str,
    kind: str,
    from_s: float,
    until_s: float | None,
    *,
    parameters: Mapping[str, str] | None = None,
    services: Collection[str] = tuple(RELATIONS),
) -> list[ServiceFault]:
    """A fault at the root as it concerns each service; still in force without an end."""
    fault = KINDS[kind].from_text(parameters or {}) if kind in KINDS else None
    return [
        ServiceFault(
            run_id=RUN,
            fault_id=fault_id,
            version=1 if until_s is None else 2,
            kind=kind,
            service=service,
            root_service=ROOT,
            role="root_cause" if service == ROOT else "exposed",
            hops=RELATIONS[service][1],
            severity=0.5 if fault is None else fault.severity,
            requested_at_us=instant_us(from_s - 0.1),
            relation=RELATIONS[service][0],
            apply_commanded_at_us=instant_us(from_s - 0.05),
            applied_at_us=instant_us(from_s),
            applied_within_us=20_000,
            recovered_at_us=None if until_s is None else instant_us(until_s),
            recovered_within_us=None if until_s is None else 20_000,
            parameters={} if fault is None else fault.canonical(),
        )
        for service in services
    ]


Published = list[tuple[int, FaultEffect | FaultVerdict]]


def observe(
    simulation: Simulation,
    records: Iterable[ServiceFault],
    *,
    step_s: int = 1,
    observer: EffectObserver | None = None,
) -> Published:
    """What an observer publishes of a simulation, each record with the instant at which it came.

    Args:
        simulation: the telemetry.
        records: the faults; each is known shortly after what it tells of.
        step_s: seconds of telemetry that come at a time.
        observer: a new one by default.
    """
    observer = observer or EffectObserver(RUN)
    waiting = sorted(records, key=_known_us)
    published: Published = []
    for watermark_us, batches in simulation.batches(step_s):
        for batch in batches:
            observer.telemetry(batch)
        while waiting and _known_us(waiting[0]) <= watermark_us:
            observer.fault(waiting.pop(0))
        published += [(watermark_us, record) for record in observer.advance(watermark_us)]
    return published


def _known_us(record: ServiceFault) -> int:
    return (record.recovered_at_us or record.applied_at_us or record.requested_at_us) + 150_000
