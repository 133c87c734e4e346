"""Hosts of algorithms that really run, without a fence, on a broker in memory."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from scored_run import BEGIN_US, ScoredRun

from microservo.adapters.broker import Partition
from microservo.adapters.files import write_whole
from microservo.adapters.memory.consumer import MemoryConsumer
from microservo.adapters.memory.producer import MemoryProducer
from microservo.adapters.memory.store import Store
from microservo.errors import Retryable
from microservo.runtime.shutdown import Shutdown
from microservo.testing import MemoryBroker
from schemas.catalogue import ANOMALY_SCORES
from schemas.codec import encode
from schemas.records import AlgorithmDeployment
from services.algorithm_host.service import run
from services.algorithm_host.settings import AlgorithmHostSettings


class BusyProducer(MemoryProducer):
    """A producer that takes no score while its broker is busy."""

    def __init__(self, producer: MemoryProducer, broker: BusyBroker) -> None:
        self._producer = producer
        self._broker = broker

    def send(self, topic: str, **rest: Any) -> None:
        if self._broker.busy.is_set() and topic == ANOMALY_SCORES:
            self._broker.refused.set()
            msg = "the queue is full"
            raise Retryable(msg)
        self._producer.send(topic, **rest)

    def flush(self, timeout_s: float) -> None:
        self._producer.flush(timeout_s)

    def close(self) -> None:
        self._producer.close()


class BusyBroker(MemoryBroker):
    """A broker that takes no scores for a while."""

    def __init__(self) -> None:
        super().__init__()
        self.busy = threading.Event()
        self.refused = threading.Event()

    def producer(self, *, linger_ms: int = 5) -> MemoryProducer:
        return BusyProducer(super().producer(linger_ms=linger_ms), self)


class PieceConsumer(MemoryConsumer):
    """A consumer that gives a partition to its end before the next one, as a real one often does."""

    def __init__(self, store: Store, held: threading.Event) -> None:
        super().__init__(store, group_id=None, start="earliest")
        self._held = held

    def _fetched(self) -> list[Partition]:
        return [] if self._held.is_set() else sorted(super()._fetched())


class PieceBroker(MemoryBroker):
    """A broker of such consumers, which give nothing while they are `held`."""

    def __init__(self) -> None:
        super().__init__()
        self.held = threading.Event()

    def consumer(
        self, *, group_id: str | None, start: Literal["earliest", "latest"] = "earliest"
    ) -> MemoryConsumer:
        assert (group_id, start) == (None, "earliest")
        return PieceConsumer(self._store, self.held)


class World(ScoredRun):
    """What outlives hosts: the broker and their folders."""

    broker: MemoryBroker

    def __init__(self, folder: Path, broker: MemoryBroker | None = None) -> None:
        self.folder = folder
        super().__init__(broker or MemoryBroker())

    def deploy(self, declaration: dict[str, Any], **changes: Any) -> AlgorithmDeployment:
        """Tells hosts of this version what to run, as the runner does."""
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
        write_whole(self.folder / f"a@{deployment.version}" / "deployment", encode(deployment))
        return deployment

    @contextmanager
    def host(self, version: int = 1, **settings: Any) -> Iterator[Shutdown]:
        """A host in a thread of its own, which ends with the block."""
        given = AlgorithmHostSettings(
            run_id="run-1",
            deployment=self.folder / f"a@{version}" / "deployment",
            algorithm_folder=self.folder / f"a@{version}",
            checks=self.folder / "checks",
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
