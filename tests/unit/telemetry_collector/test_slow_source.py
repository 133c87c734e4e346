"""From a sender that gathers, through what the collector learns of it, to whole windows."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from microservo.domain.closed_window import ClosedWindow
from microservo.domain.join import process_message
from microservo.domain.joined_topics import SOURCES
from microservo.domain.window_policy import WindowPolicy
from microservo.domain.windows import Windower
from schemas.catalogue import TELEMETRY_METRICS, TELEMETRY_TRACES
from schemas.codec import encode
from schemas.envelope import Stamp
from schemas.records import SpanBatch
from services.telemetry_collector.delays import Delays
from services.telemetry_collector.inventories import Inventories

S = 1_000_000
START_S = 1_700_000_000
FLUSH_US = S // 4
POLICY = WindowPolicy()


def spans(service: str, time_us: list[int]) -> SpanBatch:
    count = len(time_us)
    return SpanBatch(
        run_id="run",
        service=service,
        instances=("a",),
        endpoints=("GetCart",),
        peers=("",),
        start_us=np.array(time_us, "<i8").tobytes(),
        duration_us=bytes(8 * count),
        instance=bytes(2 * count),
        endpoint=bytes(2 * count),
        peer=bytes(2 * count),
        kind=b"\x02" * count,
        error=bytes(count),
        trace_id=b"".join(each.to_bytes(16, "little") for each in time_us),
        span_id=b"\x01" * 8 * count,
        parent_id=bytes(8 * count),
    )


def shipped(seconds: int, gather_s: dict[str, float], seed: int) -> list[tuple[str, bytes, Stamp]]:
    """What a collector ships of services that gather their spans, some tens a second, for so long."""
    rng = random.Random(seed)
    inventories = Inventories("run", Delays(POLICY.first_cut_us, {}), from_us=START_S * S, interval_us=S)
    waiting: dict[str, list[tuple[int, int]]] = {}
    for service, every_s in gather_s.items():
        times = sorted(START_S * S + rng.randrange(seconds * S) for _ in range(seconds * 40))
        every_us, shift_us = round(every_s * S), rng.randrange(5 * S)
        arrivals = [each + every_us - (each + shift_us) % every_us + rng.randrange(300_000) for each in times]
        waiting[service] = sorted(zip(arrivals, times, strict=True), reverse=True)
    found = []
    counter = itertools.count()
    for now_us in range(START_S * S, (START_S + seconds + 120) * S, FLUSH_US):
        stamp = Stamp(run="run", watermark_us=now_us, writer="w", sequence=next(counter), total=0)
        for service, queue in waiting.items():
            ready = []
            while queue and queue[-1][0] < now_us:
                ready.append(queue.pop()[1])
            if ready:
                batch = spans(service, sorted(ready))
                inventories.observe(batch, now_us)
                found.append((TELEMETRY_TRACES, encode(batch), stamp))
        found += [(TELEMETRY_METRICS, encode(each), stamp) for each in inventories.due(now_us)]
        found += [(source, b"", stamp) for source in SOURCES]
    return found


def windows_of(messages: list[tuple[str, bytes, Stamp]]) -> list[ClosedWindow]:
    windower = Windower(POLICY)
    found: list[ClosedWindow] = []
    for source, value, stamp in messages:
        process_message(windower, source, value or None, stamp.headers())
        found += windower.close()
    return found


@pytest.mark.parametrize("seed", [1, 2])
def test_revision_0_holds_what_an_sdk_sends_by_its_defaults_within_half_a_minute(seed: int) -> None:
    windows = windows_of(shipped(150, {"jshop": 5, "slower": 9, "prompt": 0.5}, seed))
    for service, most_delay_s in (("jshop", 4.5), ("slower", 8.5), ("prompt", 0)):
        steady = [
            each
            for each in windows
            if each.service == service and START_S + 30 <= each.start_us // S < START_S + 145
        ]
        final = {each.start_us: each.features["telemetry/spans"] for each in steady}
        first = {each.start_us: each.features["telemetry/spans"] for each in steady if each.revision == 0}
        assert sum(first.values()) >= 0.99 * sum(final.values()), service
        assert max(each.delay_us for each in steady) <= most_delay_s * S, service
        assert list(first) == sorted(first), "in order of time"
