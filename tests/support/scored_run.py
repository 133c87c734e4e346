"""A run on a broker whose windows come from a test, and what algorithms make of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import TypeVar

from microservo.adapters.broker import Broker, Message
from microservo.log.reader import read_topic
from microservo.log.run_records import update_run, write_run
from microservo.log.topics import topic_specs
from microservo.testing import eventually
from schemas.catalogue import ALGORITHM_STATES, FEATURE_WINDOWS, topic_of
from schemas.codec import decode_as, encode
from schemas.files import record_name
from schemas.records import AlgorithmState, AnomalyScore, Experiment, FeatureWindow, GoneService

S = 1_000_000
SIZE_US = 5 * S
BEGIN_US = int(time.time()) * S - 1000 * S
FAULT_FREE = 30
"""Windows from the run's begin until which nothing is injected."""
SERVICES = ("ads", "cart", "frontend")
NAMES = ("log/severity/warn", "metric/process.memory.usage/mean", "request/*/p50_ms")
PARTITIONS = 2

R = TypeVar("R")


def window(service: str, number: int, *, odd: bool = False) -> FeatureWindow:
    """One of which memory and latency are usual, but for a tenth; an odd one uses much memory, and warns."""
    rng = Random(f"{service}/{number}")
    memory, latency = (size * rng.uniform(0.9, 1.1) for size in (900.0 if odd else 100.0, 20.0))
    warnings = rng.randrange(3) + (9 if odd else 0)
    return FeatureWindow(
        run_id="run-1",
        service=service,
        start_us=BEGIN_US + number * SIZE_US,
        end_us=BEGIN_US + (number + 1) * SIZE_US,
        revision=0,
        names=NAMES,
        values=(float(warnings), memory, latency),
    )


def once(numbers: range) -> Counter[tuple[str, int]]:
    """Each window of each service, with its number, one time."""
    return Counter({(service, number): 1 for service in SERVICES for number in numbers})


@dataclass
class ScoredRun:
    """A run on a broker, which begins as this is made.

    Args:
        broker: where its topics are made.
        prefix: of their names.
    """

    broker: Broker
    prefix: str = ""

    def __post_init__(self) -> None:
        self.broker.admin().ensure_topics(topic_specs(prefix=self.prefix, partitions=PARTITIONS))
        self.begin("run-1")

    def begin(self, run_id: str) -> None:
        """Writes the record of a run that begins."""
        write_run(
            self.broker,
            Experiment(
                run_id=run_id,
                status="running",
                seed=7,
                target="test",
                started_at_us=BEGIN_US,
                window_us=SIZE_US,
                first_cut_us=S,
                final_cut_us=S,
                start_offsets={},
                end_offsets={},
                versions={},
                fault_free_until_us=BEGIN_US + FAULT_FREE * SIZE_US,
            ),
            process="system",
            clock=lambda: BEGIN_US,
            topic_prefix=self.prefix,
        )

    def end_fault_free(self, number: int) -> None:
        """Says that something began in the window with this number."""
        update_run(
            self.broker,
            "run-1",
            lambda run: replace(run, fault_free_until_us=BEGIN_US + number * SIZE_US),
            process="system",
            clock=lambda: BEGIN_US,
            topic_prefix=self.prefix,
        )

    def declare_gone(self, service: str, number: int) -> None:
        """Says that a service is gone since the window with this number began."""
        gone = GoneService(service=service, at_us=BEGIN_US + number * SIZE_US)
        update_run(
            self.broker,
            "run-1",
            lambda run: replace(run, gone=(*run.gone, gone)),
            process="system",
            clock=lambda: BEGIN_US,
            topic_prefix=self.prefix,
        )

    def end(self) -> None:
        """Says that the run is over."""
        update_run(
            self.broker,
            "run-1",
            lambda run: replace(run, status="finished"),
            process="system",
            clock=lambda: BEGIN_US,
            topic_prefix=self.prefix,
        )

    def add_windows(
        self,
        numbers: range,
        odd: Sequence[int] = (),
        run_id: str = "run-1",
        *,
        services: Collection[str] = SERVICES,
        odd_service: str = "cart",
    ) -> None:
        """Windows of some services; those of one of them with these numbers are odd."""
        with self.broker.producer() as producer:
            for number in numbers:
                for at, service in enumerate(SERVICES):
                    if service not in services:
                        continue
                    each = window(service, number, odd=service == odd_service and number in odd)
                    producer.send(
                        self.prefix + FEATURE_WINDOWS,
                        key=service.encode(),
                        value=encode(replace(each, run_id=run_id)),
                        headers=(("run", run_id.encode()),),
                        partition=at % PARTITIONS,
                    )
            producer.flush(30)

    def put(self, topic: str, key: bytes, value: bytes | None, partition: int = 0) -> None:
        with self.broker.producer() as producer:
            headers = (("run", b"run-1"),)
            producer.send(self.prefix + topic, key=key, value=value, headers=headers, partition=partition)
            producer.flush(5)

    def messages(self, topic: str) -> list[Message]:
        return list(read_topic(self.broker, self.prefix + topic))

    def records(self, record: type[R]) -> list[R]:
        messages = self.messages(topic_of(record_name(record)).name)
        return [decode_as(record, message.value) for message in messages if message.value]

    def scores(self, algorithm: str, version: int = 1) -> list[AnomalyScore]:
        """Those of one version, in order of the log."""
        return [
            each
            for each in self.records(AnomalyScore)
            if (each.algorithm, each.algorithm_version) == (algorithm, version)
        ]

    def scored(self, algorithm: str = "a", version: int = 1) -> Counter[tuple[str, int]]:
        """How often each window of each service was scored."""
        return Counter(
            (each.service, (each.start_us - BEGIN_US) // SIZE_US) for each in self.scores(algorithm, version)
        )

    def state(self, deployment_id: str = "a@1") -> AlgorithmState | None:
        """The newest state of a deployment; None also where it was removed."""
        values = [
            message.value
            for message in self.messages(ALGORITHM_STATES)
            if message.key == deployment_id.encode()
        ]
        return decode_as(AlgorithmState, values[-1]) if values and values[-1] else None

    def until(self, phase: str, deployment_id: str = "a@1", timeout_s: float = 60) -> AlgorithmState:
        """Waits until a deployment is in a phase."""

        def reached() -> AlgorithmState | None:
            state = self.state(deployment_id)
            return state if state is not None and state.phase == phase else None

        found = eventually(reached, timeout_s=timeout_s, what=f"{deployment_id} to be {phase}")
        assert found is not None
        return found
