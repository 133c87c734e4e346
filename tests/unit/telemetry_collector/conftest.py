from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import pytest
from otlp_requests import T0_US

from microservo.adapters.broker import TopicSpec
from microservo.runtime.shutdown import Shutdown
from microservo.sources.otlp.source import OtlpSource
from microservo.sources.source import TOPICS, Source
from microservo.testing import ManualClock, MemoryBroker
from schemas.catalogue import DEAD_LETTER_SUFFIX, SERVICE_GRAPH, SERVICE_INSTANCES, TELEMETRY_LOSSES
from services.telemetry_collector.service import Collector
from services.telemetry_collector.settings import Settings
from tests.unit.telemetry_collector.harness import PARTITIONS, PREFIX, Running, Start


@pytest.fixture
def broker() -> MemoryBroker:
    broker = MemoryBroker()
    names = [*TOPICS.values(), *(name + DEAD_LETTER_SUFFIX for name in TOPICS.values())]
    names += [SERVICE_GRAPH, SERVICE_INSTANCES, TELEMETRY_LOSSES]
    specs = [TopicSpec(name=PREFIX + name, partitions=PARTITIONS, config={}) for name in names]
    broker.admin().ensure_topics(specs)
    return broker


@pytest.fixture
def start(broker: MemoryBroker) -> Start:
    """Starts a collector whose clock stands at T0_US + 1 s, and that samples nothing; settings by keyword.

    `more` are sources beside OTLP, `gone_us` says what was declared gone.

    A sample would come at a moment of its own: in the queue, and so on the topics, there is what was sent.
    """

    @contextmanager
    def running(
        *,
        ship: bool = True,
        more: Sequence[Source] = (),
        gone_us: Callable[[], Mapping[str, int]] = dict,
        **values: object,
    ) -> Iterator[Running]:
        settings = Settings.model_validate(
            {
                "topic_prefix": PREFIX,
                "run_id": "run-1",
                **values,
            }
        )
        shutdown = Shutdown(signals=())
        clock = ManualClock(T0_US + 1_000_000)
        otlp = OtlpSource(0, 0, settings.receiver_limits(), clock=clock)
        with Collector(settings, broker, clock, sources=[otlp, *more], gone_us=gone_us) as collector:
            thread = threading.Thread(target=collector.run, args=(shutdown,))
            if ship:
                thread.start()
            try:
                yield Running(collector, otlp, broker, shutdown, clock)
            finally:
                shutdown.request()
                if ship:
                    thread.join()

    return running
