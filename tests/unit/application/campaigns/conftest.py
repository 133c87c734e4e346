"""A run in memory for campaigns, and an injector that only answers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from campaign_runs import Injector
from recorded_progress import RecordedProgress

from microservo.adapters.clock import now_us
from microservo.client.client import Client
from microservo.domain.campaigns.definition import SECOND_US
from microservo.log.run_records import write_run
from microservo.testing import MemoryBroker
from schemas.records import (
    Experiment,
)


@pytest.fixture
def broker() -> MemoryBroker:
    broker = MemoryBroker()
    Client(broker=broker).topics.ensure(partitions=1)
    run = Experiment(
        run_id="run-1",
        status="running",
        seed=7,
        target="tiny",
        started_at_us=now_us(),
        window_us=5 * SECOND_US,
        first_cut_us=SECOND_US,
        final_cut_us=10 * SECOND_US,
        start_offsets={},
        end_offsets={},
        versions={},
    )
    write_run(broker, run, process="system", clock=now_us)
    return broker


@pytest.fixture
def progress() -> RecordedProgress:
    return RecordedProgress()


@pytest.fixture
def client(broker: MemoryBroker) -> Client:
    return Client(broker=broker)


@pytest.fixture
def injector(broker: MemoryBroker) -> Iterator[Injector]:
    injector = Injector(broker)
    with injector.running():
        yield injector
