"""A broker in memory with a run on it, and hosts of algorithms that really run, without a fence."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from microservo.adapters.broker import Message
from microservo.log.run_records import update_run, write_run
from microservo.log.topics import topic_specs
from microservo.runtime.shutdown import Shutdown
from microservo.testing import MemoryBroker, eventually
from schemas.catalogue import ALGORITHM_STATES, ALGORITHMS, FEATURE_WINDOWS, topic_of
from schemas.codec import decode_as, encode
from schemas.files import record_name
from schemas.records import AlgorithmDeployment, AlgorithmState, Experiment, FeatureWindow
from services.algorithm_host.service import run
from services.algorithm_host.settings import AlgorithmHostSettings

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
    rng = Random(f"{service}/{number}")
    return FeatureWindow(
        run_id="run-1",
        service=service,
        start_us=BEGIN_US + number * SIZE_US,
        end_us=BEGIN_US + (number + 1) * SIZE_US,
        revision=0,
        names=NAMES,
        values=(float(rng.randrange(3)), (900.0 if odd else 100.0) + rng.random(), 20.0 + rng.random()),
    )


@dataclass
class World:
    """What outlives hosts: the broker and their folders."""

    folder: Path
    broker: MemoryBroker = field(default_factory=MemoryBroker)

    def __post_init__(self) -> None:
        self.broker.admin().ensure_topics(topic_specs(prefix="", partitions=PARTITIONS))
        write_run(
            self.broker,
            Experiment(
                run_id="run-1",
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
        )

    def end_fault_free(self, number: int) -> None:
        """Says that something began in the window with this number."""
        update_run(
            self.broker,
            "run-1",
            lambda run: replace(run, fault_free_until_us=BEGIN_US + number * SIZE_US),
            process="system",
            clock=lambda: BEGIN_US,
        )

    def deploy(self, declaration: dict[str, Any], **changes: Any) -> AlgorithmDeployment:
        """Puts a deployment on its topic."""
        deployment = replace(
            AlgorithmDeployment(
                algorithm="a",
                version=1,
                task="detector",
                title="",
                declaration=json.dumps(declaration),
                source="shipped",
                files_sha256="",
                training_sha256="",
                threshold=None,
                alarms_per_hour=1.0,
                is_fenced=False,
                is_control=False,
                is_wanted=True,
                deployed_at_us=BEGIN_US,
            ),
            **changes,
        )
        self.put(ALGORITHMS, deployment.algorithm.encode(), encode(deployment))
        return deployment

    def add_windows(self, numbers: range, odd: Sequence[int] = ()) -> None:
        """Windows of all services; those of cart with these numbers are odd."""
        for number in numbers:
            for at, service in enumerate(SERVICES):
                each = window(service, number, odd=service == "cart" and number in odd)
                self.put(FEATURE_WINDOWS, service.encode(), encode(each), at % PARTITIONS)

    def put(self, topic: str, key: bytes, value: bytes | None, partition: int = 0) -> None:
        with self.broker.producer() as producer:
            producer.send(topic, key=key, value=value, headers=(("run", b"run-1"),), partition=partition)
            producer.flush(5)

    def messages(self, topic: str) -> list[Message]:
        with self.broker.consumer(group_id=None) as consumer:
            found = consumer.partitions(topic)
            consumer.assign(dict.fromkeys(found, 0))
            count = sum(consumer.offset_range(each)[1] for each in found)
            return consumer.consume(count, 5) if count else []

    def records(self, record: type[R]) -> list[R]:
        messages = self.messages(topic_of(record_name(record)).name)
        return [decode_as(record, message.value) for message in messages if message.value]

    def state(self, deployment_id: str = "a@1") -> AlgorithmState | None:
        """The newest state of a deployment."""
        states = [
            decode_as(AlgorithmState, message.value)
            for message in self.messages(ALGORITHM_STATES)
            if message.key == deployment_id.encode() and message.value
        ]
        return states[-1] if states else None

    def until(self, phase: str, deployment_id: str = "a@1") -> AlgorithmState:
        """Waits until a deployment is in a phase."""

        def reached() -> AlgorithmState | None:
            state = self.state(deployment_id)
            return state if state is not None and state.phase == phase else None

        found = eventually(reached, timeout_s=60, what=f"{deployment_id} to be {phase}")
        assert found is not None
        return found

    @contextmanager
    def host(self, version: int = 1, **settings: Any) -> Iterator[Shutdown]:
        """A host in a thread of its own, which ends with the block."""
        given = AlgorithmHostSettings(
            run_id="run-1",
            algorithm="a",
            algorithm_version=version,
            algorithm_folder=self.folder / f"a@{version}",
            environments=self.folder / "environments",
            **settings,
        )
        shutdown = Shutdown(signals=())
        errors: list[BaseException] = []

        def body() -> None:
            try:
                run(given, shutdown, broker=self.broker)
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=body, daemon=True)
        thread.start()
        try:
            yield shutdown
        finally:
            shutdown.request()
            thread.join(30)
            assert not thread.is_alive()
        if errors:
            raise errors[0]
