"""Systems shipped as topologies, whole on a real broker: they come up, and say what their file declares."""

from __future__ import annotations

import re
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from recorded_progress import RecordedProgress

from microservo.domain.topology import Topology
from microservo.platforms.local.state import read_state
from microservo.platforms.local.topology_files import read_topology
from microservo.system import EmbeddedSystem
from microservo.system.options import SystemOptions
from microservo.testing import eventually
from schemas.catalogue import TELEMETRY_LOGS
from schemas.codec import decode_as
from schemas.records import LogBatch

pytestmark = pytest.mark.integration

LARGEST = "social-network"
"""By services, of those that two cores can hold beside the rest of a system."""
SAID = (
    r"\S+ is ready",
    r"\w+ served in [\d.]+ ms",
    r"\w+ turned away, too many requests are in flight",
    r"\w+ lost its connection, the worker is recycled",
    r"\w+ given up, its deadline has passed",
    r"\w+ failed: KeyError: 'payload'",
    r"\w+ failed: CallFailed: .*",
    r".*, trying again",
    r".*, answering without it",
)
"""What services say of the noise that a topology can declare, and of a machine that is slow."""


Running = Callable[[str, float], AbstractContextManager[EmbeddedSystem]]


@pytest.fixture
def running(
    kafka_bootstrap_servers: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Running:
    """Runs a system on a topology with so many journeys a second, from its first labelled window on."""
    monkeypatch.setenv("MICROSERVO_HOME", str(tmp_path))

    @contextmanager
    def run(topology: str, journeys_per_s: float) -> Iterator[EmbeddedSystem]:
        options = SystemOptions(
            name=f"shipped-{uuid.uuid4().hex[:8]}",
            seed=7,
            journeys_per_s=journeys_per_s,
            partitions=2,
            topology=topology,
            bootstrap_servers=kafka_bootstrap_servers,
            topic_prefix=topic_prefix,
            algorithms=(),
        )
        with EmbeddedSystem(options, RecordedProgress()) as system:
            system.start()
            yield system

    return run


def lines_of(system: EmbeddedSystem, topology: Topology) -> dict[str, list[str]]:
    """What each service of the topology has said so far."""
    said: dict[str, list[str]] = {name: [] for name in topology.services}
    topic = system.options.topic_prefix + TELEMETRY_LOGS
    with system.broker.consumer(group_id=None) as consumer:
        ranges = {at: consumer.offset_range(at) for at in consumer.partitions(topic)}
        consumer.assign({at: first for at, (first, _) in ranges.items()})
        left = {at.index: end for at, (first, end) in ranges.items() if end > first}
        while left:
            for message in consumer.consume(500, 0.5):
                batch = decode_as(LogBatch, message.value) if message.value else None
                if batch is not None and batch.service in said:
                    said[batch.service] += batch.bodies
                if message.offset >= left.get(message.partition, 0) - 1:
                    left.pop(message.partition, None)
    return said


def test_the_largest_reaches_its_first_window_and_has_no_error_beyond_its_declared_noise(
    running: Running,
) -> None:
    topology = read_topology(LARGEST)
    with running(LARGEST, 2.0) as system:
        reached = {"nginx-thrift", "home-timeline-service", "post-storage-service", "post-storage-memcached"}
        eventually(
            lambda: all(
                any(" served in " in line for line in lines_of(system, topology)[name]) for name in reached
            ),
            timeout_s=120,
            interval_s=2,
            what="requests that were served by those whom most requests reach",
        )
        said = lines_of(system, topology)
    assert all(said.values()), "every service has said something"
    counts = Counter[str]()
    for service, lines in said.items():
        declared = [re.escape(text).replace(r"\{key\}", ".*") for text in topology.services[service].warnings]
        known = re.compile("|".join((*SAID, *declared)))
        assert [line for line in lines if not known.fullmatch(line)] == []
        assert [line for line in lines if "404" in line] == [], "nobody calls what is not there"
        counts["served"] += sum(" served in " in line for line in lines)
        counts["broken"] += sum("KeyError" in line for line in lines)
    assert counts["broken"] <= 2 + 0.005 * counts["served"], "0.0003 is declared"


def test_the_crash_tester_reaches_its_first_window_and_goes_on_after_it_has_crashed(
    running: Running,
) -> None:
    with running("crash-test", 20.0) as system:
        state_file = Path(system.file.target_state)
        pids = set[int]()

        def has_come_again() -> bool:
            pid = read_state(state_file).instances[0].pid
            if pid is not None:
                pids.add(pid)
            return len(pids) > 1

        eventually(has_come_again, timeout_s=180, what="another process of the crash tester")
        system.wait_for_windows(1)
