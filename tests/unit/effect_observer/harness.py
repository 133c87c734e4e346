"""The observer on a broker in memory, with writers that stamp as they are told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from microservo.adapters.broker import Message
from microservo.domain.effects import EffectObserver
from microservo.domain.telemetry import Batch
from microservo.log.run_records import write_run
from microservo.log.topics import topic_specs
from microservo.testing import ManualClock, MemoryBroker
from schemas import catalogue
from schemas.codec import decode
from schemas.envelope import HEARTBEAT_KEY, Stamp
from schemas.records import Experiment, FaultEffect, FaultVerdict, RunWriter, ServiceFault, SpanBatch
from services.effect_observer.handlers import READ
from services.effect_observer.service import consumer_of, start
from services.effect_observer.settings import EffectObserverSettings

# In the past, for the broker in memory stamps its messages by the wall clock.
NOW_US = 1_700_000_000_000_000
S = 1_000_000
PREFIX = "t-"
PARTITIONS = 2
FIRST_CUT_US, FINAL_CUT_US = 2 * S, 30 * S


class ScriptedObserver(EffectObserver):
    """Finds what it is told to find, and remembers what it was given."""

    def __init__(self) -> None:
        super().__init__("run-1")
        self.known: list[FaultEffect | FaultVerdict] = []
        self.batches: list[Batch] = []
        self.faults: list[ServiceFault] = []
        self.looks: list[int] = []
        self.findings: list[FaultEffect | FaultVerdict] = []

    def resume(self, records: Iterable[FaultEffect | FaultVerdict]) -> None:
        self.known.extend(records)

    def telemetry(self, batch: Batch) -> None:
        self.batches.append(batch)

    def fault(self, fault: ServiceFault) -> None:
        self.faults.append(fault)

    def advance(self, watermark_us: int) -> list[FaultEffect | FaultVerdict]:
        self.looks.append(watermark_us)
        found, self.findings = self.findings, []
        return found


@dataclass
class World:
    """What outlives an observer: the broker, the clock, the writers' counts."""

    clock: ManualClock = field(default_factory=lambda: ManualClock(NOW_US))
    broker: MemoryBroker = field(default_factory=MemoryBroker)
    _sequences: dict[tuple[str, str, int], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.broker.admin().ensure_topics(topic_specs(prefix=PREFIX, partitions=PARTITIONS))

    def record_run(self, *more: RunWriter) -> None:
        """Writes the record of the run with one writer for each topic, and these."""
        run = Experiment(
            run_id="run-1",
            status="running",
            seed=7,
            target="shop",
            started_at_us=NOW_US - 100 * S,
            window_us=5 * S,
            first_cut_us=FIRST_CUT_US,
            final_cut_us=FINAL_CUT_US,
            start_offsets={},
            end_offsets={},
            versions={},
            writers=(*map(writer_of, (*READ, catalogue.FAULT_EFFECTS)), *more),
        )
        write_run(self.broker, run, process="system", clock=self.clock, topic_prefix=PREFIX)

    def send(
        self,
        topic: str,
        value: bytes | None,
        *,
        promise_us: int,
        partition: int = 0,
        writer: str = "",
        run: str = "run-1",
    ) -> None:
        """Puts a message on a topic, stamped by its writer."""
        name = writer or name_of(topic)
        number = self._sequences.get((topic, name, partition), 0)
        self._sequences[topic, name, partition] = number + 1
        stamp = Stamp(run=run, watermark_us=promise_us, writer=name, sequence=number, total=number)
        key = HEARTBEAT_KEY if value is None else b"cart"
        self.put(topic, value, key=key, headers=stamp.headers(), partition=partition)

    def put(self, topic: str, value: bytes | None, **more: Any) -> None:
        """Puts a message on a topic."""
        with self.broker.producer() as producer:
            producer.send(PREFIX + topic, value=value, **more)
            producer.flush(10)

    def promise(self, promise_us: int, *, topics: Iterable[str] = READ) -> None:
        """Sends a heartbeat of every writer to every partition."""
        for topic in topics:
            for partition in range(PARTITIONS):
                self.send(topic, None, promise_us=promise_us, partition=partition)

    def messages(self, topic: str) -> list[Message]:
        """All messages of a topic, partition after partition."""
        with self.broker.consumer(group_id=None) as consumer:
            positions = {partition: 0 for partition in consumer.partitions(PREFIX + topic)}
            consumer.assign(positions)
            wanted = sum(consumer.offset_range(partition)[1] for partition in positions)
            found = consumer.consume(wanted, 10) if wanted else []
        return sorted(found, key=lambda message: (message.partition, message.offset))

    def effects(self) -> list[object]:
        """What lies on `fault-effects`, without heartbeats."""
        return [decode(each.value) for each in self.messages(catalogue.FAULT_EFFECTS) if each.value]

    def promised_us(self) -> int:
        """The least that the observer has promised on a partition by now."""
        promises: dict[int, int] = {}
        for message in self.messages(catalogue.FAULT_EFFECTS):
            promises[message.partition] = Stamp.read(message.headers).watermark_us
        assert len(promises) == PARTITIONS
        return min(promises.values())


class Running:
    """One life of an observer in a world."""

    def __init__(self, world: World, observer: EffectObserver, **settings: Any) -> None:
        self.world = world
        given = {"topic_prefix": PREFIX, "run_id": "run-1", **settings}
        self.settings = EffectObserverSettings(**given)
        self.handlers, self.writer = start(
            self.settings,
            observer,
            broker=world.broker,
            producer=world.broker.producer(),
            clock=world.clock,
            wait=lambda seconds: world.clock.advance(round(seconds * S)),
        )
        self.consumer = consumer_of(self.settings, world.broker, world.clock)

    def pass_s(self, seconds: float = 1.0) -> None:
        """Lets time pass, then processes what lies on the topics by now."""
        self.world.clock.advance(round(seconds * S))
        while batch := self.consumer.consume(100, 0.0):
            self.handlers.handle(batch)
        self.handlers.advance()
        self.writer.tick()

    def stop(self) -> None:
        """Ends this life."""
        self.consumer.close()
        self.writer.close()


def name_of(topic: str) -> str:
    return "effect-observer" if topic == catalogue.FAULT_EFFECTS else f"writer-of-{topic}"


def writer_of(topic: str, writer: str = "", from_us: int = NOW_US - 100 * S) -> RunWriter:
    return RunWriter(
        topic=topic,
        writer=writer or name_of(topic),
        from_us=from_us,
        first_cut_us=FIRST_CUT_US,
        final_cut_us=FINAL_CUT_US,
    )


def calls(
    starts_us: Sequence[int], durations_us: Sequence[int], failed: Sequence[bool], *, side: str
) -> SpanBatch:
    """Calls of the cart by the front, as either side saw them."""
    count, is_caller = len(starts_us), side == "caller"
    ids = b"".join((2 * start_us + is_caller).to_bytes(8) for start_us in starts_us)
    service = "front" if is_caller else "cart"
    return SpanBatch(
        run_id="run-1",
        service=service,
        instances=(f"{service}-0",),
        endpoints=("Get",),
        peers=("cart" if is_caller else "",),
        start_us=np.array(starts_us, np.int64).tobytes(),
        duration_us=np.array(durations_us, np.int64).tobytes(),
        instance=bytes(2 * count),
        endpoint=bytes(2 * count),
        peer=bytes(2 * count),
        kind=bytes([3 if is_caller else 2]) * count,
        error=bytes(failed),
        trace_id=b"".join((start_us).to_bytes(16) for start_us in starts_us),
        span_id=ids,
        parent_id=bytes(8 * count),
    )


def finding(version: int, **changes: Any) -> FaultEffect:
    """Not visible on the cart so far."""
    given: dict[str, Any] = {
        "run_id": "run-1",
        "fault_id": "f-1",
        "service": "cart",
        "version": version,
        "root_service": "cart",
        "relation": "root",
        "finding": "not_visible",
        "starts_us": (),
        "ends_us": (),
        "is_open": False,
        "through_us": NOW_US,
        "is_final": False,
    }
    return FaultEffect(**{**given, **changes})
