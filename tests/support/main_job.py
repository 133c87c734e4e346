"""The main job: the whole system, every kind of fault, every process killed once."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

from microservo.adapters.broker import Message
from microservo.client import Client
from microservo.errors import Retryable, Unavailable
from microservo.system.embedded import EmbeddedSystem
from microservo.system.processes import COLLECTOR, INJECTOR, KAFKA, OBSERVER, RUNNER, STREAMS
from microservo.testing import eventually
from schemas.records import FaultEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A fault of the main job and the service it hits."""

    kind: str
    service: str
    duration: str = "12s"
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def fault_id(self) -> str:
        return f"{self.kind}-{self.service}"


# The faults of a round run side by side, each on a service of its own; the next round waits for all of them,
# so that what overlaps doesn't hang on the speed of the machine. What stops most traffic (a paused catalogue)
# runs beside faults that show without it.
ROUNDS: tuple[tuple[Planned, ...], ...] = (
    (
        Planned(
            kind="network-delay", service="cartservice", parameters={"latency": "200ms", "jitter": "20ms"}
        ),
        Planned(kind="http-delay", service="productcatalogservice", parameters={"delay": "150ms"}),
        Planned(kind="connection-reset", service="adservice", parameters={"ratio": "60%"}),
    ),
    (
        Planned(kind="http-abort", service="cartservice", parameters={"status": "503", "ratio": "60%"}),
        Planned(kind="app-exception", service="productcatalogservice", parameters={"ratio": "50%"}),
        Planned(kind="network-bandwidth", service="adservice", parameters={"rate": "8kbit/s"}),
    ),
    (
        Planned(kind="process-kill", service="cartservice"),
        Planned(kind="process-pause", service="productcatalogservice"),
        Planned(kind="noop", service="adservice"),
    ),
    (
        Planned(kind="memory-hog", service="cartservice", parameters={"size": "120MiB"}),
        Planned(kind="network-loss", service="productcatalogservice", parameters={"ratio": "40%"}),
    ),
    (Planned(kind="cpu-hog", service="recommendationservice", parameters={"workers": "2", "load": "100%"}),),
)
OVERLAPPING = (
    Planned(kind="network-delay", service="currencyservice", parameters={"latency": "150ms"}),
    Planned(kind="app-exception", service="currencyservice", parameters={"ratio": "60%"}),
)
SURVIVOR = Planned(kind="http-delay", service="cartservice", duration="20s", parameters={"delay": "200ms"})
"""In force while the processes of the pipeline are killed."""
ALL = (*(fault for faults in ROUNDS for fault in faults), *OVERLAPPING, SURVIVOR)
KILLED = (INJECTOR, COLLECTOR, OBSERVER, STREAMS, RUNNER, KAFKA)


class MainJob:
    """Runs the job on a system that was started."""

    def __init__(self, system: EmbeddedSystem) -> None:
        self.system = system
        self.client: Client = system.client

    def run(self) -> None:
        self.system.wait_for_windows(5)
        for faults in (*ROUNDS, OVERLAPPING):
            _together([partial(self._until_over, fault) for fault in faults])
        self._request(SURVIVOR)
        self.client.faults.wait(SURVIVOR.fault_id, "active", timeout_s=60)
        for name in KILLED:
            self._kill(name)
        self.client.faults.wait(SURVIVOR.fault_id, "recovered", timeout_s=120)
        self._until_judged(SURVIVOR)
        self._drain()

    def faults(self) -> dict[str, list[FaultEvent]]:
        """Newest events of each fault of this run."""
        found: dict[str, list[FaultEvent]] = {}
        for event in self.client.faults.list():
            if event.run_id == self.system.run_id:
                found.setdefault(event.fault_id, []).append(event)
        return found

    def _until_over(self, fault: Planned) -> None:
        self._request(fault)
        self.client.faults.wait(fault.fault_id, "recovered", timeout_s=120)
        self._until_judged(fault)

    def _until_judged(self, fault: Planned) -> None:
        """Until the observer has said whether it showed, and that all is normal again."""
        eventually(
            lambda: self._is_judged(fault), timeout_s=90, interval_s=1, what=f"{fault.fault_id} to be judged"
        )

    def _is_judged(self, fault: Planned) -> bool:
        events = self.faults()[fault.fault_id]
        newest = max(events, key=lambda event: event.version)
        if newest.verdict == "confirmed":
            return newest.normal_at_us is not None
        return newest.verdict != "pending"

    def _request(self, fault: Planned) -> None:
        self.client.faults.request(
            fault.kind,
            service=fault.service,
            duration=fault.duration,
            parameters=fault.parameters,
            fault_id=fault.fault_id,
        )

    def _kill(self, name: str) -> None:
        """`kill -9`, then wait until supervision has brought it back."""
        before = self._pid(name)
        os.kill(before, signal.SIGKILL)
        eventually(lambda: self._pid(name) not in (before, 0), timeout_s=60, what=f"{name} to be back")
        eventually(self._answers, timeout_s=60, what="the broker to answer")

    def _pid(self, name: str) -> int:
        recorded = json.loads(self.system.options.folders.processes.read_text("utf-8"))
        return int((recorded.get(name) or [0])[0])

    def _answers(self) -> bool:
        try:
            self.system.broker.admin().wait_ready(2)
        except (Unavailable, Retryable):
            return False
        return True

    def _drain(self) -> None:
        """Until the pipeline has caught up and every window of the campaign is final."""
        policy = self.system.options.policy
        self.system.wait_for_windows(2 + (policy.final_cut_us + policy.size_us) // policy.size_us)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What the main job left: its log (the broker still runs), its faults, its dataset."""

    client: Client
    run_id: str
    faults: dict[str, list[FaultEvent]]
    dataset: Path
    logs: Path


@cache
def read_all(client: Client, *topics: str, run_id: str | None = None) -> tuple[Message, ...]:
    """Every message of the topics (logical names), of one run where its header tells; read once."""
    found = [message for topic in topics for message in _read(client, client.topic_prefix + topic)]
    if run_id is None:
        return tuple(found)
    return tuple(message for message in found if message.header("run") == run_id.encode())


def _read(client: Client, topic: str) -> Iterator[Message]:
    with client.broker.consumer(group_id=None) as consumer:
        ranges = {at: consumer.offset_range(at) for at in consumer.partitions(topic)}
        consumer.assign({at: first for at, (first, _) in ranges.items()})
        left = {at.index: end for at, (first, end) in ranges.items() if end > first}
        while left:
            for message in consumer.consume(500, 0.5):
                yield message
                if message.offset >= left.get(message.partition, 0) - 1:
                    left.pop(message.partition, None)


def _together(jobs: Sequence[Callable[[], None]]) -> None:
    """Runs the jobs side by side and raises the first error."""
    with ThreadPoolExecutor(len(jobs)) as pool:
        for running in [pool.submit(job) for job in jobs]:
            running.result()
