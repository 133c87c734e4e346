"""A source that reads late: the stamps of its collector promise no more than it has read."""

from __future__ import annotations

import threading

import numpy as np
from otlp_requests import T0_US

from microservo.domain.rows import MetricRows, coded
from microservo.runtime.shutdown import Shutdown
from microservo.sources.source import Parcel, Sink
from microservo.testing import ManualClock, MemoryBroker, eventually
from schemas.catalogue import TELEMETRY_METRICS
from schemas.codec import decode
from schemas.envelope import Stamp
from schemas.records import MetricBatch, ServiceInventory
from services.telemetry_collector.service import Collector
from services.telemetry_collector.settings import Settings
from tests.unit.telemetry_collector.harness import PREFIX, messages

S = 1_000_000
DELAY_US = 22 * S


class Late:
    """Puts a point for each second, DELAY_US after it."""

    name = "late"
    delay_us = DELAY_US

    def __init__(self) -> None:
        self.sink: Sink | None = None

    def start(self, sink: Sink) -> None:
        self.sink = sink

    def put(self, time_us: int) -> None:
        rows = MetricRows(
            service="shop", instance="a", time_us=np.array([time_us]), name=coded(["x"]), value=np.ones(1)
        )
        assert self.sink is not None
        self.sink.put(Parcel(signal="metrics", rows=(rows,)))

    def stop(self) -> None:
        pass


def test_records_of_a_slow_source_are_on_time_and_no_delay_is_added_to_its_own(broker: MemoryBroker) -> None:
    clock, late, shutdown = ManualClock(T0_US), Late(), Shutdown(signals=())
    settings = Settings.model_validate({"topic_prefix": PREFIX, "run_id": "run-1"})
    with Collector(settings, broker, clock, sources=[late]) as collector:
        thread = threading.Thread(target=collector.run, args=(shutdown,))
        thread.start()
        for second in range(60):
            clock.advance(S)
            late.put(T0_US + second * S + S - DELAY_US)
            eventually(lambda: not collector.queued_records, timeout_s=30, what="room")
        shutdown.request()
        thread.join()
    found = messages(broker, PREFIX + TELEMETRY_METRICS)
    batches = [(decode(each.value), Stamp.read(each.headers)) for each in found if each.value]
    points = [
        (int(time_us), stamp)
        for batch, stamp in batches
        if isinstance(batch, MetricBatch) and not batch.age_us
        for time_us in np.frombuffer(batch.time_us, "<i8")
    ]
    assert len(points) == 60
    assert all(stamp.watermark_us <= time_us for time_us, stamp in points), "none is late"
    assert points[-1][1].watermark_us >= T0_US + 59 * S - DELAY_US, "event time goes on"
    inventories = [each for each, _ in batches if isinstance(each, ServiceInventory)]
    assert inventories
    assert {each.delay_us for each in inventories} == {0}, "the stamps lag already"
