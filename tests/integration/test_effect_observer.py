"""The effect observer as a process on a real broker, killed while it measures."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from microservo.adapters.clock import now_us
from microservo.adapters.kafka import KafkaBroker
from microservo.adapters.ports import free_ports
from microservo.adapters.processes import python_argv
from microservo.log.reader import read_topic
from microservo.log.run_records import write_run
from microservo.log.stamped import StampedWriter
from microservo.log.topics import topic_specs
from microservo.retry import retry
from microservo.runtime.probe import is_healthy
from microservo.testing import ManualClock, eventually
from schemas import catalogue
from schemas.codec import decode, encode
from schemas.records import Experiment, FaultEffect, FaultVerdict, RunWriter, ServiceFault, SpanBatch
from services.effect_observer.handlers import READ

pytestmark = pytest.mark.integration

S = 1_000_000
PARTITIONS = 2
SECONDS = 220
APPLIED_S, RECOVERED_S = 150, 160
DELAY_US = 300_000


class Story:
    """A front that calls a cart twelve times a second; for ten of those seconds the cart is slow."""

    def __init__(self, broker: KafkaBroker, prefix: str) -> None:
        self.begin_us = now_us() - (SECONDS + 60) * S
        self.clock = ManualClock(self.begin_us)
        self._rng = random.Random(7)
        broker.admin().ensure_topics(topic_specs(prefix=prefix, partitions=PARTITIONS))
        topics = (*READ, catalogue.FAULT_EFFECTS)
        run = Experiment(
            run_id="run-1",
            status="running",
            seed=7,
            target="shop",
            started_at_us=self.begin_us,
            window_us=5 * S,
            first_cut_us=2 * S,
            final_cut_us=30 * S,
            start_offsets={},
            end_offsets={},
            versions={},
            writers=tuple(
                RunWriter(
                    topic=topic,
                    writer="effect-observer" if topic == catalogue.FAULT_EFFECTS else "w",
                    from_us=self.begin_us,
                    first_cut_us=2 * S,
                    final_cut_us=30 * S,
                )
                for topic in topics
            ),
        )
        retry(
            lambda: write_run(broker, run, process="system", clock=now_us, topic_prefix=prefix), timeout_s=30
        )
        self.writers = {
            topic: StampedWriter(
                broker, prefix + topic, writer="w", run_id=lambda: "run-1", clock=self.clock, source="/t"
            )
            for topic in READ
        }

    def tell(self, begin_s: int, end_s: int) -> None:
        """Sends what happens in these seconds, and the promises that go with it."""
        for second in range(begin_s, end_s):
            self.clock.advance(self.begin_us + second * S - self.clock())
            if second in (APPLIED_S, RECOVERED_S):
                self._send_fault(second)
            # What begins in the second before this instant.
            slow = APPLIED_S < second <= RECOVERED_S
            starts = [self.clock() - self._rng.randrange(S) for _ in range(12)]
            took = [round(self._rng.lognormvariate(9, 0.3)) + slow * DELAY_US for _ in starts]
            trace_ids = self._rng.randbytes(16 * len(starts))
            for batch in (
                spans("front", "cart", starts, took, trace_ids),
                spans("cart", "", starts, took, trace_ids),
            ):
                self.writers[catalogue.TELEMETRY_TRACES].send(batch.service.encode(), encode(batch), 12)
            for writer in self.writers.values():
                writer.heartbeat()
        for writer in self.writers.values():
            writer.flush()

    def _send_fault(self, second: int) -> None:
        applied_us = self.begin_us + APPLIED_S * S
        root = ServiceFault(
            run_id="run-1",
            fault_id="f-1",
            version=1 if second == APPLIED_S else 2,
            kind="network-delay",
            service="cart",
            root_service="cart",
            role="root_cause",
            relation="root",
            hops=0,
            severity=0.3,
            requested_at_us=applied_us,
            apply_commanded_at_us=applied_us,
            applied_at_us=applied_us,
            recovered_at_us=self.clock() if second == RECOVERED_S else None,
            parameters={"latency_us": str(DELAY_US), "jitter_us": "0"},
            instances=("cart-0",),
            applied_us=(applied_us,),
            recovered_us=(self.clock() if second == RECOVERED_S else 0,),
        )
        front = replace(root, service="front", role="exposed", relation="caller", hops=1)
        for fault in (root, front):
            self.writers[catalogue.SERVICE_FAULTS].send(fault.service.encode(), encode(fault), 1)


def spans(service: str, peer: str, starts: list[int], took: list[int], trace_ids: bytes) -> SpanBatch:
    count = len(starts)
    return SpanBatch(
        run_id="run-1",
        service=service,
        instances=(f"{service}-0",),
        endpoints=("Get",),
        peers=(peer,),
        start_us=np.array(starts, np.int64).tobytes(),
        duration_us=np.array(took, np.int64).tobytes(),
        instance=bytes(2 * count),
        endpoint=bytes(2 * count),
        peer=bytes(2 * count),
        kind=bytes([3 if peer else 2]) * count,
        error=bytes(count),
        trace_id=trace_ids,
        span_id=b"".join(trace_ids[16 * at : 16 * at + 7] + (b"c" if peer else b"s") for at in range(count)),
        parent_id=bytes(8 * count),
    )


@contextmanager
def observer(broker: KafkaBroker, prefix: str) -> Iterator[subprocess.Popen[bytes]]:
    (port,) = free_ports(1)
    environment = {
        "MICROSERVO_BOOTSTRAP_SERVERS": broker.settings.bootstrap_servers,
        "MICROSERVO_TOPIC_PREFIX": prefix,
        "MICROSERVO_RUN_ID": "run-1",
        "MICROSERVO_HEALTH_PORT": str(port),
    }
    with subprocess.Popen(
        python_argv("services.effect_observer"), env={**os.environ, **environment}
    ) as process:
        try:
            eventually(
                partial(is_healthy, f"http://127.0.0.1:{port}"), timeout_s=60, what="the observer's health"
            )
            yield process
        finally:
            process.kill()


def found(broker: KafkaBroker, prefix: str) -> list[FaultEffect | FaultVerdict]:
    records = [
        decode(message.value) for message in read_topic(broker, f"{prefix}fault-effects") if message.value
    ]
    return [record for record in records if isinstance(record, FaultEffect | FaultVerdict)]


def test_an_observer_that_is_killed_goes_on_with_its_versions_and_says_nothing_twice(
    kafka_broker: KafkaBroker, topic_prefix: str
) -> None:
    story = Story(kafka_broker, topic_prefix)

    def has(what: Callable[[FaultEffect | FaultVerdict], bool]) -> bool:
        return any(what(record) for record in found(kafka_broker, topic_prefix))

    with observer(kafka_broker, topic_prefix) as process:
        story.tell(0, APPLIED_S + 6)
        seen = partial(has, lambda each: isinstance(each, FaultEffect) and each.finding == "visible")
        eventually(seen, timeout_s=60, interval_s=0.5, what="an effect while the fault goes on")
        process.kill()
        process.wait()
    before = found(kafka_broker, topic_prefix)
    story.tell(APPLIED_S + 6, SECONDS)
    with observer(kafka_broker, topic_prefix):
        judged = partial(has, lambda each: isinstance(each, FaultVerdict) and each.is_final)
        eventually(judged, timeout_s=60, interval_s=0.5, what="the verdict")
    records = found(kafka_broker, topic_prefix)
    assert set(before) <= set(records)
    versions = [(type(each), each.fault_id, each.service, each.version) for each in records]
    assert len(set(versions)) == len(versions), "a version was published twice"
    verdict = max((each for each in records if isinstance(each, FaultVerdict)), key=lambda each: each.version)
    assert verdict.verdict == "confirmed", verdict.evidence
    applied_us = story.begin_us + APPLIED_S * S
    assert verdict.effect_seen_at_us is not None
    assert 0 <= verdict.effect_seen_at_us - applied_us < S
    effects = {each.service: each for each in records if isinstance(each, FaultEffect)}
    assert {service for service, each in effects.items() if each.finding == "visible"} >= {"front"}
