"""A small system in numbers: users, a front end, the service under test, one behind it, natural noise.

Arrivals come in bursts under a load that drifts, durations are lognormal about a level that wanders, some
seconds are slow for everyone, a few calls fail. Faults change it where they would.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from schemas.records import MetricBatch, SpanBatch

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
        failing: they fail at once and never reach the root.
        is_paused: nothing is answered until the end; callers wait for a second at most.
        cores: burnt beside the root; likewise `held_bytes`.
    """

    from_s: float
    until_s: float
    share: float = 1.0
    delay_ms: float = 0.0
    failing: bool = False
    is_paused: bool = False
    cores: float = 0.0
    held_bytes: float = 0.0


@dataclass(kw_only=True)
class Simulation:
    """Telemetry of so many seconds; the same for the same seed."""

    seconds: int
    seed: int
    per_second: float = 20.0
    changes: list[Change] = field(default_factory=list)
    error_share: float = 0.003

    def batches(self) -> Iterator[tuple[int, list[SpanBatch | MetricBatch]]]:
        """Batch by batch of a second each, with the instant up to which all has come then."""
        rng = np.random.default_rng(self.seed)
        calls = self._calls(rng)
        spans = [
            _Spans(USERS, 3, "GET /", FRONT, calls.begin_us, calls.user_us, calls.user_failed),
            _Spans(FRONT, 2, "GET /", "", calls.begin_us, calls.user_us, calls.user_failed),
            _Spans(FRONT, 3, "GetCart", ROOT, calls.begin_us + 300, calls.call_us, calls.failed),
            calls.reached(_Spans(ROOT, 2, "GetCart", "", calls.served_us, calls.serve_us, calls.failed)),
            calls.reached(_Spans(ROOT, 3, "Get", BEHIND, calls.served_us, calls.serve_us // 2, ~calls.is_in)),
            calls.reached(_Spans(BEHIND, 2, "Get", "", calls.served_us, calls.serve_us // 2, ~calls.is_in)),
        ]
        edges_us = START_US + np.arange(self.seconds + 1) * SECOND_US
        places = [np.searchsorted(each.end_us, edges_us) for each in spans]
        levels = self._levels(rng)
        for second in range(self.seconds):
            found: list[SpanBatch | MetricBatch] = []
            for each, place in zip(spans, places, strict=True):
                if place[second + 1] > place[second]:
                    found.append(each.batch(place[second], place[second + 1]))
            found.append(_points(int(edges_us[second + 1]) - 1000, levels, second))
            yield int(edges_us[second + 1]), found

    def _calls(self, rng: np.random.Generator) -> _Calls:
        seconds = np.arange(self.seconds)
        load = self.per_second * (1 + 0.3 * np.sin(2 * np.pi * seconds / 600 + rng.uniform(0, 6)))
        load = load * np.exp(_wandering(rng, self.seconds, 0.9, 0.25))
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
            hit = (begin_s >= change.from_s) & (begin_s < change.until_s) & (rng.random(size) < change.share)
            wait_ms += np.where(hit, change.delay_ms, 0.0)
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
            inside = np.clip(
                np.minimum(seconds + 1, change.until_s) - np.maximum(seconds, change.from_s), 0, 1
            )
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

    def __post_init__(self) -> None:
        self.begin_us = START_US + np.rint(self.begin_s * 1e6).astype(np.int64)
        self.serve_us = np.rint(self.serve_ms * 1000).astype(np.int64)
        call_ms = self.wire_ms + np.where(self.is_in, self.serve_ms, 0.0)
        self.call_us = np.rint(call_ms * 1000).astype(np.int64)
        self.user_us = self.call_us + 900
        self.user_failed = self.failed
        self.served_us = self.begin_us + 300 + np.rint(self.wire_ms * 1000).astype(np.int64)

    def reached(self, spans: _Spans) -> _Spans:
        """Only of the calls that reached the root."""
        rows = self.is_in
        return _Spans(
            spans.service,
            spans.kind,
            spans.endpoint,
            spans.peer,
            spans.begin_us[rows],
            spans.duration_us[rows],
            spans.failed[rows],
        )


class _Spans:
    """All spans of one kind of a service, by their end."""

    def __init__(
        self,
        service: str,
        kind: int,
        endpoint: str,
        peer: str,
        begin_us: NDArray[np.int64],
        duration_us: NDArray[np.int64],
        failed: NDArray[np.bool_],
    ) -> None:
        self.service, self.kind, self.endpoint, self.peer = service, kind, endpoint, peer
        order = np.argsort(begin_us + duration_us, kind="stable")
        self.begin_us, self.duration_us, self.failed = begin_us[order], duration_us[order], failed[order]
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


def _points(time_us: int, levels: dict[str, FloatArray], second: int) -> MetricBatch:
    values = np.array([values[second] for values in levels.values()])
    return MetricBatch(
        run_id=RUN,
        service=ROOT,
        instances=(f"{ROOT}-0",),
        names=tuple(levels),
        time_us=np.full(len(values), time_us, "<i8").tobytes(),
        instance=bytes(2 * len(values)),
        name=np.arange(len(values), dtype="<u2").tobytes(),
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
